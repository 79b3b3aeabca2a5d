"""Tencent Cloud: a HAVIP that only the candidates may claim. Gratuitous ARP moves it; nothing is called for that."""
