"""Comparing what is wanted with what is stored, against a model in a few lines."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dependencies.edges import EdgeRow, Snapshot, Stored, path_text, plan

NAMES = "abcdef"
PRIMARY = {"B": "b", "C": "c"}  # aliases


def acyclic(edges):
    left = {(c, p) for c, p, *_ in edges}
    while loose := {(c, p) for c, p in left if p not in {child for child, _ in left}}:
        left -= loose
    return not left


stored = st.dictionaries(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from(["network", "power"])).filter(
        lambda key: key[0] > key[1]
    ),
    st.tuples(st.sampled_from(["", "g"]), st.booleans()),
    max_size=8,
).map(
    lambda found: {
        (NAMES[i], NAMES[j], kind, ""): Stored(number, group, "", is_found)
        for number, ((i, j, kind), (group, is_found)) in enumerate(found.items(), 1)
    }
)
rows = st.lists(
    st.builds(
        lambda c, p, kind, group: EdgeRow(c, p, kind, "", group, None),
        st.sampled_from(NAMES + "BC"),
        st.sampled_from(NAMES + "BC"),
        st.sampled_from(["network", "power"]),
        st.sampled_from([None, "", "g"]),
    ),
    max_size=8,
)


@settings(max_examples=600, deadline=None)
@given(stored, rows, st.sets(st.integers(1, 8)), st.booleans())
def test_a_plan_is_what_the_words_say(base, wanted, removing, replace):
    ids = {s.id for s in base.values()}
    found = plan(
        [row._replace(line=n) for n, row in enumerate(wanted, 2)],
        Snapshot((0, 0), base, PRIMARY),
        removing=sorted(removing & ids),
        replace=replace,
    )
    # The model: the state after it, if nothing is wrong.
    named: dict[tuple[str, str, str, str], str | None] = {}
    is_wrong = False
    for row in wanted:
        child, parent = PRIMARY.get(row.device, row.device), PRIMARY.get(row.parent, row.parent)
        key = (child, parent, row.kind, "")
        is_wrong |= child == parent or (key in named and named[key] != row.group)
        named.setdefault(key, row.group)
    after = {
        key: s.group
        for key, s in base.items()
        if s.id not in removing and not (replace and key not in named and not s.is_found)
    }
    for key, group in named.items():
        after[key] = after.get(key, "") if group is None else group
    is_wrong |= not acyclic(after)

    assert bool(found.wrong) is is_wrong
    if is_wrong:
        return
    done = {key: s.group for key, s in base.items() if (key, s.id) not in found.removed}
    done |= {row.key: row.group or "" for row in found.added}
    done |= {change.row.key: change.after[0] for change in found.changed}
    assert done == after
    told = found.summary
    assert told["added"] + told["changed"] + told["unchanged"] + told["repeated"] == len(wanted)


def test_a_long_path_is_shortened_in_the_middle():
    path = [str(n) for n in range(1_000)]

    assert path_text(["a", "b", "a"]) == "a → b → a"
    assert path_text(path) == " → ".join([*path[:10], "(980 more)", *path[-10:]])
