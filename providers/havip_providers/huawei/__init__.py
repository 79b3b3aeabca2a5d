"""Huawei Cloud: a virtual IP address bound to the candidates' network interfaces; gratuitous ARP moves it."""
