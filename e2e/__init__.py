"""What runs the product for real: lab, cluster, scenarios, bench and demo. Nothing here is shipped."""
