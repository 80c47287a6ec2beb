"""Runs sequences of calls on Debian's liblxc: one JSON list of steps a line in, one JSON list of answers out."""

import json
import os
import sys

import _lxc


def step(container, call, *args):
    try:
        if call == "load":
            return container.load_config(args[0])
        if call == "set":
            return container.set_config_item(args[0], args[1])
        if call == "clear":
            return container.clear_config_item(args[0])
        if call == "get":
            return container.get_config_item(args[0])
        if call == "keys":
            return container.get_keys(args[0]) if args[0] else container.get_keys()
        if call == "save":
            if not container.save_config(args[0]):
                return False
            with open(args[0], "rb") as saved:
                return saved.read().decode("latin-1")
    except (KeyError, ValueError) as error:
        return None
    raise SystemExit("unknown call " + call)


os.chdir(sys.argv[1])
number = 0
for line in sys.stdin:
    number += 1
    os.makedirs(os.path.join(sys.argv[1], "lxcpath", "c%d" % number))
    container = _lxc.Container("c%d" % number, config_path=os.path.join(sys.argv[1], "lxcpath"))
    answers = [step(container, *one) for one in json.loads(line)]
    print(json.dumps(answers), flush=True)
