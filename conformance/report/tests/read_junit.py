"""Reads a JUnit file as its consumers do, with nothing but the standard library, and prints what each would show.

Usage: read_junit.py FILE
"""

import json
import re
import sys
import xml.etree.ElementTree as ElementTree

root = ElementTree.parse(sys.argv[1]).getroot()
assert root.tag == "testsuites", root.tag
seen, words, shown = set(), {}, {}
for suite in root:
    assert suite.tag == "testsuite" and suite.get("name"), "one consumer crashes without a suite name"
    assert suite.find("testsuite") is None, "one consumer drops cases of nested suites"
    assert re.fullmatch(r"\d+\.\d{3}", suite.get("time")), suite.get("time")
    cases = suite.findall("testcase")
    count = lambda tag: sum(1 for case in cases if case.find(tag) is not None)
    assert int(suite.get("tests")) == len(cases)
    assert int(suite.get("failures")) == count("failure")
    assert int(suite.get("errors")) == count("error")
    for case in cases:
        key = (case.get("classname"), case.get("name"))
        assert key not in seen, "one consumer keeps the first of two cases with one name only"
        seen.add(key)
        assert case.get("classname") == suite.get("name")
        assert re.fullmatch(r"\d+\.\d{3}", case.get("time")), case.get("time")
        word, text = "passed", ""
        for tag in ("error", "failure", "skipped"):
            element = case.find(tag)
            if element is not None:
                word = tag
                # One consumer reads the element's text only, another its message only.
                text = (element.text or "").strip()
                assert text and element.get("message"), f"{key} {tag} has no text or no message"
                assert "\n" not in element.get("message")
        words[word] = words.get(word, 0) + 1
        out = case.findtext("system-out") or ""
        attachment = re.search(r"\[\[ATTACHMENT\|(.+?)\]\]", out)
        shown[case.get("name")] = {"word": word, "text": text, "attachment": attachment.group(1) if attachment else None}
assert int(root.get("tests")) == len(seen)
print(json.dumps({"words": words, "cases": shown}, sort_keys=True))
