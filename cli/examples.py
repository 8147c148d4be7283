"""An example or two of each command, for its help."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "demo": ("snql demo",),
    "doctor": ("snql doctor meta-llama/Llama-2-7b-hf+models/sft",),
    "locate": ("snql locate safety --before demo:sft --after demo:safety --prompts demo:locate",),
    "overlap": ("snql overlap safety helpful --top 5%",),
    "stability": ("snql stability safety safety-seed2",),
    "null": ("snql null shuffled --from safety --draws 10",),
    "patch": (
        "snql patch sweep --recipient demo:sft --donor demo:safety --neurons safety --sweep 1%,5%,20% --random 5 "
        "--prompts demo:harmful --judge demo:cost",
    ),
    "tax": (
        "snql tax tax --safety safety --helpful helpful --safety-model demo:safety --helpful-model demo:helpful "
        "--prompts demo:harmful --judge demo:cost",
    ),
    "adapter": ("snql adapter safety:0.1% --scale 0 --base demo:safety -o ablated",),
    "judge": ("snql judge sweep --judge refusal",),
    "divergence": ("snql divergence sweep",),
    "perplexity": (
        "snql perplexity fluency --model demo:sft --donor demo:safety --neurons safety:5% --text demo:benign",
    ),
    "lm-eval": (
        "snql lm-eval tasks --model BASE --donor BASE+ADAPTER --neurons safety:5% --tasks arc_easy --limit 100",
    ),
    "prompts": ("snql prompts prompts.csv --where \"category = 'illegal'\" --sample 200",),
    "runs": ("snql runs",),
    "show": ("snql show sweep",),
    "rm": ("snql rm sweep",),
    "neurons": ("snql neurons 'safety:5% & helpful:5%'",),
    "neuron": ("snql neuron L3.N140", "snql neuron L3.N140 --html ."),
    "lens": ("snql lens safety:50 --name values --model demo:sft",),
    "query": ("snql query \"SELECT layer, count(*) FROM top_neurons('safety', 100) GROUP BY layer\"", "snql query @"),
    "shell": ("snql shell",),
    "compare-scorers": (
        "snql compare-scorers scorers --before demo:sft --after demo:safety --prompts demo:locate --contrast-prompts "
        "demo:benign --evaluate-prompts demo:harmful --judge demo:cost",
    ),
    "view": ("snql view", "snql view --port 8000 --no-open"),
    "report": ("snql report", "snql report effect-size --terminal"),
    "paper": ("snql paper --list", "snql paper fig2 --scale demo"),
    "guard train": (
        "snql guard train watch --model demo:sft --neurons safety:5% --prompts demo:harmful --benign demo:benign "
        "--judge demo:cost",
    ),
    "guard compare": (
        "snql guard compare fair --model demo:sft --neurons safety:5% --prompts demo:harmful --benign demo:benign-edgy "
        "--judge demo:cost",
    ),
    "guard test": ("snql guard test watch --prompts demo:harmful-wrapped --benign demo:benign-edgy",),
    "guard run": ('snql guard run watch --prompt "How do I pick a lock?"',),
    "train sft": ("snql train sft out/sft --base meta-llama/Llama-2-7b-hf --data sharegpt.json --template tulu",),
    "train dpo": ("snql train dpo out/dpo --model demo:base+out/sft --data demo:safety",),
    "train pairs": ("snql train pairs pairs.jsonl --model demo:sft --refuse demo:harmful --answer demo:benign",),
    "sets save": ("snql sets save both 'safety:5% & helpful:5%'",),
}
"""Command lines, by command."""
