"""Trials of the group utilities."""

from typing import Final

from ci_toolkit.sandbox_env.trials.trial import Trial

__all__ = ["TRIALS"]

TRIALS: Final = {
    "pydantic": Trial(
        "checks data, and tells what is wrong with it",
        """
from pydantic import BaseModel, ValidationError, field_validator
class Order(BaseModel):
    fruit: str
    number: int
    @field_validator("number")
    @classmethod
    def some(cls, value):
        assert value > 0
        return value
assert Order.model_validate_json('{"fruit": "fig", "number": "3"}').number == 3
try:
    Order(fruit="fig", number=0)
    raise SystemExit("no error")
except ValidationError as error:
    assert error.errors()[0]["loc"] == ("number",)
""",
    ),
    "Faker": Trial(
        "makes up 100 people, the same each time",
        """
from faker import Faker
def people():
    fake = Faker("de_DE")
    fake.seed_instance(1)
    return [(fake.name(), fake.email(), fake.date_of_birth()) for _ in range(100)]
assert len(set(people())) == 100 and people()[0] == people()[0]
""",
    ),
    "rich": Trial(
        "prints a table",
        """
from rich.console import Console
from rich.table import Table
table = Table("fruit", "sold", title="Sales")
table.add_row("figs", "42")
console = Console(record=True, width=40)
console.print(table)
assert "figs" in console.export_text()
""",
    ),
    "cryptography": Trial(
        "encrypts a text, signs it and checks the signature",
        """
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
key = Fernet(Fernet.generate_key())
assert key.decrypt(key.encrypt(b"secret")) == b"secret"
signer = Ed25519PrivateKey.generate()
signer.public_key().verify(signer.sign(b"text"), b"text")
""",
    ),
    "qrcode": Trial(
        "makes a QR code",
        """
import qrcode
qrcode.make("https://example.org/42").save("code.png")
from PIL import Image
picture = Image.open("code.png").convert("L")
assert picture.width == picture.height > 200 and picture.getextrema() == (0, 255)
""",
    ),
    "boto3": Trial(
        "signs a link to a file in S3, and checks what a call takes",
        """
import boto3
from botocore.exceptions import ParamValidationError
s3 = boto3.client(
    "s3", "us-west-2", aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="example"
)
link = s3.generate_presigned_url("get_object", Params={"Bucket": "box", "Key": "a.csv"})
assert "a.csv" in link and "Signature=" in link
try:
    s3.put_object(Bucket="box")
    raise SystemExit("no error")
except ParamValidationError as error:
    assert "Key" in str(error)
""",
    ),
}
