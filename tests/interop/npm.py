"""A package of npm's without npm: the archive of its registry, checked against the digest the registry tells for it.

npm itself comes with hundreds of packages on Debian, and what is fetched here has no dependencies.
"""

import base64
import hashlib
import io
import os
import pathlib
import shutil
import tarfile
import urllib.request

REGISTRY = os.environ.get("npm_config_registry", "https://registry.npmjs.org").rstrip("/")
INSTALLED = pathlib.Path(__file__).parent.parent.parent / "target" / "interop-npm"


def install(name, version, integrity):
    """Brings the package once, and gives the directory that NODE_PATH has to name."""
    place = INSTALLED / integrity.split("-", 1)[1][:12].replace("/", "_")
    modules = place / "node_modules"
    if modules.is_dir():
        return modules
    url = f"{REGISTRY}/{name}/-/{name.rsplit('/', 1)[-1]}-{version}.tgz"
    with urllib.request.urlopen(url, timeout=120) as answer:
        archive = answer.read()
    digest = "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if digest != integrity:
        raise ValueError(f"{url} is not what was expected: its digest is {digest}")
    unfinished = place.with_name(place.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    into = unfinished / "node_modules" / name
    into.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        for member in files.getmembers():
            inside = pathlib.PurePosixPath(member.name)
            if member.isfile() and ".." not in inside.parts and len(inside.parts) > 1:
                target = into.joinpath(*inside.parts[1:])
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(files.extractfile(member).read())
    unfinished.rename(place)
    return modules
