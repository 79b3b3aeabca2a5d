"""The VPC service of Tencent Cloud, as far as HAVIPs go, behind `e2e.clouds.service`.

It refuses what the cloud refuses, in the cloud's words, and knows who may announce a HAVIP and who has: a fabric asks.
Where the documents are silent it guesses; every guess is a field of `Guesses`.
"""

from e2e.clouds.tencent.cloud import TencentCloud
from e2e.clouds.tencent.estate import Estate, Guesses, Holding
from e2e.clouds.tencent.signature import Account

__all__ = ["Account", "Estate", "Guesses", "Holding", "TencentCloud"]
