"""Keys and JWTs of a NATS operator, as `nsc` makes them: for a server that takes credentials files. Signed by the command openssl."""

import base64
import binascii
import json
import os
import subprocess
import time

OPERATOR, ACCOUNT, USER = 14 << 3, 0, 20 << 3
SEED = 18 << 3
PKCS8 = bytes.fromhex("302e020100300506032b657004220420")  # RFC 8410: an Ed25519 private key follows


def _encoded(data):
    """Base32 with a CRC-16 (XMODEM), as nkeys writes keys."""
    return base64.b32encode(data + binascii.crc_hqx(data, 0).to_bytes(2, "little")).rstrip(b"=").decode()


def _url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Key:
    def __init__(self, folder, kind):
        secret = os.urandom(32)
        self.file = folder / f"key-{secret[:4].hex()}.der"
        self.file.write_bytes(PKCS8 + secret)
        public = subprocess.run(["openssl", "pkey", "-in", self.file, "-inform", "DER", "-pubout", "-outform", "DER"],
                                check=True, capture_output=True).stdout[-32:]
        self.public = _encoded(bytes([kind]) + public)
        self.seed = _encoded(bytes([SEED | kind >> 5, (kind & 31) << 3]) + secret)

    def sign(self, subject, kind, **claims):
        """A JWT of this key about another, or about itself."""
        head = _url64(json.dumps({"typ": "JWT", "alg": "ed25519-nkey"}).encode())
        body = _url64(json.dumps({"jti": os.urandom(8).hex(), "iat": int(time.time()), "iss": self.public, "sub": subject.public, "name": kind,
                                  "nats": {"type": kind, "version": 2, **claims}}).encode())
        message = self.file.with_suffix(".message")
        message.write_text(f"{head}.{body}")
        signature = subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", self.file, "-keyform", "DER", "-in", message],
                                   check=True, capture_output=True).stdout
        return f"{head}.{body}.{_url64(signature)}"


def operator_mode(folder):
    """Settings of a server whose operator knows one account (and the server's own), and the credentials file of a user of it."""
    operator, system, account, user = Key(folder, OPERATOR), Key(folder, ACCOUNT), Key(folder, ACCOUNT), Key(folder, USER)
    unlimited = dict.fromkeys(["subs", "data", "payload", "imports", "exports", "conn", "leaf", "mem_storage", "disk_storage", "streams", "consumer"], -1)
    account_jwt = operator.sign(account, "account", limits={**unlimited, "wildcards": True})
    system_jwt = operator.sign(system, "account", limits={**unlimited, "wildcards": True, "mem_storage": 0, "disk_storage": 0})
    user_jwt = account.sign(user, "user", pub={}, sub={}, subs=-1, data=-1, payload=-1)
    credentials = folder / "user.creds"
    credentials.write_text(f"-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n"
                           f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n")
    settings = (f'operator: "{operator.sign(operator, "operator")}"\nsystem_account: "{system.public}"\nresolver: MEMORY\n'
                f'resolver_preload: {{ {account.public}: "{account_jwt}", {system.public}: "{system_jwt}" }}\n')
    return settings, credentials
