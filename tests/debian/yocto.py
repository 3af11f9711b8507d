# SPDX-License-Identifier: BSD-2-Clause
"""python3 tests/debian/yocto.py DIRECTORY: check the files of a Yocto layer, as far as it goes without BitBake.

Each line must be an assignment, "inherit", or part of a function; inline Python must compile; a function of the
shell must pass "sh -n", with variables of BitBake in it as words.
"""

import ast
import pathlib
import re
import subprocess
import sys

VARIABLE = r"[A-Za-z_][\w:${}.-]*(\[[\w-]+\])?"
ASSIGNMENT = re.compile(rf"^{VARIABLE}\s*(\?\?=|\?=|:=|\+=|=\+|\.=|=\.|=)\s*(\"[^\"]*\"|'[^']*')$")
FUNCTION = re.compile(r"^([\w:${}-]+)\(\) \{$")
INLINE = re.compile(r"\$\{@(.*?)\}(?=[\s\"/;,]|$)")


def errors_of_python(text):
    """Return an error for each inline expression that does not compile."""
    found = []
    for expression in INLINE.findall(text):
        # BitBake expands ${NAME} first.
        try:
            ast.parse(re.sub(r"\$\{\w+\}", "NAME", expression), mode="eval")
        except SyntaxError as error:
            found.append(f"{expression}: {error}")
    return found


def errors_of_shell(name, body):
    """Return an error if the function is not right for sh."""
    text = INLINE.sub("true", body)
    text = re.sub(r"\$\{\w+\}", "word", text)
    shell = subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True, check=False)
    return [f"{name}(): {shell.stderr.strip()}"] if shell.returncode else []


def errors_of_file(path):
    """Return the errors of one file."""
    text = path.read_text(encoding="utf-8")
    found = errors_of_python(text)
    lines = iter(text.replace("\\\n", "").split("\n"))
    for line in lines:
        function = FUNCTION.match(line)
        if function:
            body = []
            for line in lines:
                if line == "}":
                    break
                body.append(line)
            else:
                found.append(f"{function[1]}() does not end")
            found += errors_of_shell(function[1], "\n".join(body))
        elif line and not line.startswith(("#", "inherit ", "require ")) and not ASSIGNMENT.match(line):
            found.append(f"neither an assignment nor a function: {line}")
    return [f"{path}: {error}" for error in found]


def main():
    """Print the errors of all recipes and configuration files; return the exit status."""
    files = [f for f in sorted(pathlib.Path(sys.argv[1]).rglob("*")) if f.suffix in (".bb", ".conf")]
    found = [error for file in files for error in errors_of_file(file)]
    print(*found, sep="\n")
    return 1 if found or len(files) < 2 else 0


if __name__ == "__main__":
    sys.exit(main())
