"""The argument tree of `havip`, and the one place where a failure becomes a line and an exit code.

0 = done, 1 = not done, 2 = the arguments are wrong. Imports of commands are late: `havip version` must not load a
Kubernetes client.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from havip.cli.failing import DONE, FAILED, Failed, plain
from havip.model.keys import parse_label
from havip.model.refusal import Refused

Command = Callable[[argparse.Namespace], int]


def main(words: Sequence[str] | None = None) -> int:
    """Entry point of `havip`."""
    options = arguments(words)
    command: Command = options.command
    if command is _run_operator:
        # A process of its own kind: it has its own log, and what kills it must be seen in full.
        return command(options)
    return _carried_out(command, options)


def _carried_out(command: Command, options: argparse.Namespace) -> int:
    from havip.cli.connection import Refusal

    try:
        return command(options)
    except Failed as failed:
        _complain(str(failed))
        return failed.code
    except Refusal as refusal:
        _complain(f"the API server says {refusal.status}: {refusal}" if refusal.status else str(refusal))
        return FAILED
    except BrokenPipeError:
        # `havip status | head`: who reads has enough. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if os.environ.get("HAVIP_TRACEBACK"):
            raise
        _complain(f"a bug: {type(error).__name__}: {error} (HAVIP_TRACEBACK=1 shows where)")
        return FAILED


def _complain(message: str) -> None:
    sys.stderr.write(f"havip: {plain(message)}\n")


def _say(line: str) -> None:
    print(line, flush=True)


# ---- commands


def _run_operator(options: argparse.Namespace) -> int:
    del options
    from havip.controller.app import main as operator

    return operator()


def _version(options: argparse.Namespace) -> int:
    del options
    try:
        _say(version("havip-operator"))
    except PackageNotFoundError:
        raise Failed("havip-operator is not installed, only its source is here: no version") from None
    return DONE


def _crds_print(options: argparse.Namespace) -> int:
    del options
    from havip.cli.definitions import print_all

    print_all(_say)
    return DONE


def _crds_apply(options: argparse.Namespace) -> int:
    from havip.cli.connection import connect
    from havip.cli.definitions import apply_all

    apply_all(connect(options.kubeconfig), _say)
    return DONE


def _crds_verify(options: argparse.Namespace) -> int:
    from havip.cli.connection import connect
    from havip.cli.definitions import verify_all

    verify_all(connect(options.kubeconfig), _say)
    return DONE


def _uninstall(options: argparse.Namespace) -> int:
    from havip.cli.connection import connect
    from havip.cli.uninstalling import Patience, Uninstall

    patience = Patience(deadline=options.deadline, stall=options.stall)
    namespace = _own_namespace(options)
    Uninstall(connect(options.kubeconfig), namespace, patience=patience, say=_say).run()
    return DONE


def _status(options: argparse.Namespace) -> int:
    from havip.cli.connection import HAVIPS, NODE_OBJECTS, Refusal, connect
    from havip.cli.overview import overview

    connection = connect(options.kubeconfig)
    try:
        havips = connection.all(HAVIPS, namespace=options.namespace or "")
    except Refusal as refusal:
        if refusal.missing:
            raise Failed("this cluster knows no HAVips: the operator is not installed") from None
        if refusal.forbidden and not options.namespace:
            raise Failed(f"{refusal}; give -n NAMESPACE for one namespace") from None
        raise
    try:
        nodes = connection.all(NODE_OBJECTS, namespace=os.environ.get("HAVIP_NAMESPACE", ""))
    except Refusal as refusal:
        if not refusal.forbidden:
            raise
        nodes = None
    for line in overview(havips, nodes, now=datetime.now(UTC)):
        _say(line)
    return DONE


def _render(options: argparse.Namespace) -> int:
    from havip.cli.rendering import Document, make

    made = make(options.file, pools=options.pools, interface=options.interface)
    wanted = [Document(options.only)] if options.only else list(Document)
    for document in wanted:
        _say(made.texts[document].rstrip("\n") if options.only else f"# ---- {document}\n{made.texts[document]}")
    for item in made.left_out:
        where = f"{item.field}: " if item.field else ""
        _complain(f"left out: {item.havip or 'an instance'} ({item.reason}): {where}{item.message}")
    return FAILED if made.left_out else DONE


def _plan(options: argparse.Namespace) -> int:
    from havip.cli.planning import planned

    answer = planned(options.file, namespace=_own_namespace(options), kubeconfig=options.kubeconfig)
    for line in answer.lines:
        _say(line)
    return DONE if answer.complete else FAILED


def _own_namespace(options: argparse.Namespace) -> str:
    name = options.namespace or os.environ.get("HAVIP_NAMESPACE", "")
    try:
        return parse_label(name)
    except Refused as refused:
        raise Failed(f"-n (or HAVIP_NAMESPACE), the operator's namespace: {refused}", code=2) from None


# ---- arguments


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line understood; exits with 2 and a usage where it is not."""
    parser = _parser()
    options = parser.parse_args(words)
    if options.command is None:
        parser.error("a COMMAND is required; --help lists them")
    return options


def _parser() -> argparse.ArgumentParser:
    # kubectl runs a plug-in by its file name.
    called = "kubectl havip" if Path(sys.argv[0]).name == "kubectl-havip" else "havip"
    parser = argparse.ArgumentParser(prog=called, description="Virtual IPs that outlive their nodes.")
    parser.add_argument("--version", action="store_const", dest="command", const=_version, help="print the version")
    commands = parser.add_subparsers(metavar="COMMAND")

    run = commands.add_parser("run", help="run a part of the product").add_subparsers(required=True, metavar="PART")
    _command(run, "operator", _run_operator, "the operator; settings come from the environment")

    crds = commands.add_parser("crds", help="the custom resource definitions of this version")
    actions = crds.add_subparsers(required=True, metavar="ACTION")
    _command(actions, "print", _crds_print, "print them as YAML")
    _cluster(_command(actions, "apply", _crds_apply, "bring them to the cluster and wait until they are served"))
    _cluster(_command(actions, "verify", _crds_verify, "compare them with those of the cluster"))

    status = _command(commands, "status", _status, "who is active, since when, why not the others, last failovers")
    _cluster(status)
    status.add_argument("-n", "--namespace", help="HAVips of this namespace (default: of all)")

    uninstall = _command(commands, "uninstall", _uninstall, "give back every address and finalizer of a release")
    _cluster(uninstall)
    uninstall.add_argument("-n", "--namespace", help="the operator's namespace (default: HAVIP_NAMESPACE)")
    uninstall.add_argument(
        "--deadline", type=_seconds, default=120.0, metavar="SECONDS", help="the operator's time (default: 120)"
    )
    uninstall.add_argument(
        "--stall",
        type=_seconds,
        default=30.0,
        metavar="SECONDS",
        help="do it without the operator when nothing has changed for so long (default: 30)",
    )

    render = _command(commands, "render", _render, "what a node makes of its orders, from files")
    render.add_argument("-f", "--file", type=Path, required=True, help="a HAVipNode as JSON or YAML")
    render.add_argument("--pools", type=Path, metavar="FOLDER", help="pool documents (default: pools beside the file)")
    render.add_argument("--interface", default="", help="where the HAVipNode does not name one")
    render.add_argument("--only", choices=("election.json", "haproxy.cfg", "keepalived.conf"), help="this file alone")

    plan = _command(commands, "plan", _plan, "what would be called in the clouds for these HAVips, without calling it")
    _cluster(plan)
    plan.add_argument(
        "-f", "--file", type=Path, required=True, help="HAVips, HAVipClasses, BackendPools as YAML; - is standard input"
    )
    plan.add_argument("-n", "--namespace", help="the operator's namespace (default: HAVIP_NAMESPACE)")

    _command(commands, "version", _version, "print the version")
    return parser


def _command(
    to: argparse._SubParsersAction[argparse.ArgumentParser], name: str, command: Command, summary: str
) -> argparse.ArgumentParser:
    parser = to.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    parser.set_defaults(command=command)
    return parser


def _cluster(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kubeconfig", metavar="FILE", help="default: KUBECONFIG, the pod's account, ~/.kube/config")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"must be seconds from 0 to 86400, not {text!r}")
    return value


if __name__ == "__main__":
    sys.exit(main())
