# SPDX-License-Identifier: Apache-2.0
"""schemas.py STORY-FOLDER: every document of a story, every example and every profile against its JSON Schema, and each again with one member too many, which must fail."""
import copy, glob, json, subprocess, sys
import jsonschema, yaml

story = sys.argv[1]
loaded = {}


def schema(name):
    """'keymill.order.v1' -> schemas/order.schema.json"""
    if name not in loaded:
        loaded[name] = json.load(open("schemas/" + name.split(".")[1] + ".schema.json"))
    return jsonschema.Draft202012Validator(loaded[name])


checked = {}


def check(what, name, document):
    validator = schema(name)
    errors = list(validator.iter_errors(document))
    if errors:
        raise SystemExit(f"{what}: {errors[0].message} at {list(errors[0].absolute_path)}")
    more = copy.deepcopy(document)
    more["one_member_too_many"] = 1
    if validator.is_valid(more):
        raise SystemExit(f"{what}: the schema of {name} takes unknown members")
    checked[name] = checked.get(name, 0) + 1


def content(path):
    out = subprocess.run(["openssl", "cms", "-verify", "-purpose", "any", "-inform", "DER", "-in", path, "-CAfile", story + "/pki/root.pem"], capture_output=True, check=True)
    return json.loads(out.stdout)


for path in glob.glob("docs/examples/*.yaml") + glob.glob("schemas/profiles/*.yaml") + glob.glob("hsm/quirks/*.yaml") + glob.glob(story + "/config/*.yaml"):
    document = yaml.safe_load(open(path))
    check(path, document["schema"], document)
for path in ["A1.order", "B1.order", "A1.checkpoint", "release/R1.release", "release/V1.revocation", "release/V2.revocation"]:
    document = content(story + "/" + path)
    check(path, document["schema"], document)
check("batch.json", "keymill.batch.v1", json.load(open(story + "/A1.batch/batch.json")))
for line in open(story + "/A1.batch/devices.jsonl"):
    check("devices.jsonl", "keymill.batch-device.v1", json.loads(line))
for line in open(story + "/A1.manifest.jsonl"):
    check("manifest", "keymill.manifest.v1", json.loads(line))
check("device.json", "keymill.device.v1", json.load(open(story + "/devices/released/device.json")))
check("journal", "keymill.journal.v1", json.loads(open(story + "/line7/journal.jsonl").readline()))
print(checked)
assert len(checked) >= 16, checked
