"""``snql doctor``: is a model read soundly?"""

from typing import Annotated

import typer

from . import options as opt
from .render import print_json, print_table
from .state import state


def doctor(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="BASE[@REV][+ADAPTER[@REV]]… or demo:NAME.")],
    dtype: opt.Dtype = "auto",
    device: opt.Device = "auto",
    device_map: opt.DeviceMap = None,
    attn_implementation: opt.Attention = None,
    quantize: opt.Quantize = None,
    trust_remote_code: opt.TrustRemoteCode = False,
) -> None:
    """Show what snql finds in a model, and check that its neurons are read and overwritten in the right place."""
    from snql.models.doctor import diagnose
    from snql.models.options import LoadOptions

    options = LoadOptions(
        dtype=dtype,
        device=device,
        trust_remote_code=trust_remote_code,
        device_map=device_map,
        attn_implementation=attn_implementation,
        quantize=quantize,
    )
    found = diagnose(model, options)
    if state(context).json:
        print_json(found.checks)
    else:
        print_table(found.facts, title=found.model)
        print_table(found.checks, title="Checks")
    if not found.sound:
        raise typer.Exit(1)
