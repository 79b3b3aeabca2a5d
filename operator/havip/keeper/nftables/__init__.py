"""The keeper's own nftables table: adverts of our VRIDs from peers only, and who was heard."""
