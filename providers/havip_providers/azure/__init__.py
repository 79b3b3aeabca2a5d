"""Azure: a Standard load balancer carries the VIPs, and its probe finds the active node."""
