"""Compares exports, as DuckDB and pyarrow read them, with the rows that SELECT returns; see scripts/test-export."""

import datetime
import decimal
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet

BINARY, FIXTURES, TABLETS = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
HUBS = [("sr33", "sr33"), ("sr35", "sr35"), ("sr40", "sr35")]


def export(source, form, to, *more):
    subprocess.run([BINARY, "-q", "export", str(source), "--format", form, "--to", str(to), *more], check=True)


def plain(value):
    """A value in one form for every reader; fixtures' marks taken off."""
    if isinstance(value, dict):
        if "json" in value:
            return plain(json.loads(value["json"]))
        if "hll_card" in value:
            return value["hll_card"]
        if "bitmap" in value:
            return value["bitmap"]
        if "percentile_count" in value:
            return "skipped"  # what went in, not what is stored
        return {name: plain(member) for name, member in sorted(value.items())}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return {"float": "NaN" if math.isnan(value) else value}
    if isinstance(value, decimal.Decimal):
        return f"{value:f}"
    if isinstance(value, datetime.datetime):
        text = value.strftime("%Y-%m-%d %H:%M:%S")
        return f"{value.year:04}{text[text.index('-'):]}" + (f".{value.microsecond:06}" if value.microsecond else "")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return value


def typed(value, kind):
    """A value of the fixture in the form that `plain` gives to what a reader returns; `kind` is the Arrow type."""
    if value is None or value == "skipped":
        return value
    if pa.types.is_floating(kind):
        bits = float(value) if not isinstance(value, dict) else value["float"]
        if pa.types.is_float32(kind) and not isinstance(bits, str):
            bits = pa.scalar(bits, pa.float32()).as_py()
        return plain(float(bits))
    if pa.types.is_list(kind):
        return [typed(item, kind.value_type) for item in value]
    if pa.types.is_map(kind):
        return [[typed(key, kind.key_type), typed(item, kind.item_type)] for key, item in value]
    if pa.types.is_struct(kind):
        return {field.name: typed(value[field.name], field.type) for field in sorted(kind, key=lambda f: f.name)}
    return value


def is_json(field):
    return (field.metadata or {}).get(b"starrocks.type") == b"JSON"


def from_reader(row, schema):
    row = dict(row)
    out = {}
    for field in schema:
        value = row[field.name]
        if is_json(field):
            out[field.name] = None if value is None else plain(json.loads(value))
        else:
            out[field.name] = nested(value, field.type)
    return out


def nested(value, kind):
    if value is None:
        return None
    if pa.types.is_map(kind):
        # DuckDB gives maps as dictionaries.
        entries = list(value.items()) if isinstance(value, dict) else value
        return [[nested(key, kind.key_type), nested(item, kind.item_type)] for key, item in entries]
    if pa.types.is_list(kind):
        return [nested(item, kind.value_type) for item in value]
    if pa.types.is_struct(kind):
        return {field.name: nested(value[field.name], field.type) for field in sorted(kind, key=lambda f: f.name)}
    return plain(value)


def canonical(rows, skipped):
    for row in rows:
        for name in skipped:
            row[name] = None
    return sorted(json.dumps(row, sort_keys=True, default=str) for row in rows)


def compare(ours, expected, what):
    assert len(ours) == len(expected), f"{what}: {len(ours)} rows, expected {len(expected)}"
    for one, other in zip(ours, expected):
        assert one == other, f"{what}:\n  is       {one}\n  expected {other}"


def expectation(rows, schema):
    made = []
    for row in rows:
        new = {}
        for field in schema:
            value = plain(row[field.name])
            new[field.name] = value if is_json(field) else typed(value, field.type)
        made.append(new)
    return made


def check_table(location, version, table, rows, work):
    source = f"{location}/sr_hub_full/{table}"
    out = work / f"{version}.{table}"
    for form in ("parquet", "csv", "jsonl", "arrow"):
        export(source, form, f"{out}.{form}")
    export(source, "parquet", work / version / "parquet")
    piped = subprocess.run(
        [BINARY, "-q", "export", source, "--format", "arrow", "--to", "-"], check=True, stdout=subprocess.PIPE
    ).stdout

    parquet = pa.parquet.read_table(f"{out}.parquet")
    schema = parquet.schema
    skipped = [name for name, value in rows[0].items() if isinstance(value, dict) and "percentile_count" in value]
    expected = canonical(expectation(rows, schema), skipped)

    def check(table, what):
        found = [from_reader(zip(table.column_names, row), schema) for row in zip(*(c.to_pylist() for c in table.columns))]
        compare(canonical(found, skipped), expected, f"{version} {what}")

    check(parquet, f"{table} parquet by pyarrow")
    check(pa.ipc.open_file(f"{out}.arrow").read_all(), f"{table} arrow by pyarrow")
    check(pa.ipc.open_stream(piped).read_all(), f"{table} arrow stream by pyarrow")

    def check_duckdb(query, what):
        cursor = duckdb.execute(query)
        names = [column[0] for column in cursor.description]
        found = [from_reader(zip(names, row), schema) for row in cursor.fetchall()]
        compare(canonical(found, skipped), expected, f"{version} {what}")

    check_duckdb(f"SELECT * FROM read_parquet('{out}.parquet')", f"{table} parquet by DuckDB")
    whole = f"{work}/{version}/parquet/{table}/**/*.parquet"
    check_duckdb(f"SELECT * FROM read_parquet('{whole}')", f"{table} directory of parquet by DuckDB")

    # CSV and JSON lines tell no types: the text of every field is compared with that of the value.
    names = ", ".join(f"'{name}': 'VARCHAR'" for name in schema.names)
    texts = duckdb.execute(
        f"SELECT * FROM read_csv('{out}.csv', header=false, delim=',', quote='\"', escape='\"', nullstr='\\N', "
        f"allow_quoted_nulls=false, auto_detect=false, columns={{{names}}})"
    ).fetchall()
    check_texts(texts, rows, schema, skipped, f"{version} {table} csv by DuckDB")
    read = pa.csv.read_csv(
        f"{out}.csv",
        read_options=pa.csv.ReadOptions(column_names=schema.names),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            column_types={name: pa.string() for name in schema.names},
            null_values=["\\N"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    texts = list(zip(*(column.to_pylist() for column in read.columns)))
    check_texts(texts, rows, schema, skipped, f"{version} {table} csv by pyarrow")

    count = duckdb.execute(f"SELECT count(*) FROM read_json('{out}.jsonl', format='newline_delimited')").fetchone()[0]
    assert count == len(rows), f"{version} {table} jsonl by DuckDB: {count} rows"
    lines = [json.loads(line) for line in open(f"{out}.jsonl", encoding="utf-8")]
    found = [{f.name: line[f.name] for f in schema} for line in lines]
    found = [{f.name: plain(v) if is_json(f) else typed(v, f.type) for f, v in zip(schema, r.values())} for r in found]
    compare(canonical(found, skipped), expected, f"{version} {table} jsonl")


def check_texts(found, rows, schema, skipped, what):
    """Fields as text against values: compared after parsing each as its type."""
    import base64

    def parsed(text, field):
        kind, sql = field.type, (field.metadata or {}).get(b"starrocks.type", b"").decode()
        if text is None:
            return None
        if sql == "JSON":
            return plain(json.loads(text))
        if sql == "BITMAP":
            return [int(value) for value in text.split(",") if value]
        if sql.startswith("VARBINARY"):
            return base64.b64decode(text, validate=True).hex()
        if pa.types.is_boolean(kind):
            return {"true": True, "false": False}[text]
        if pa.types.is_integer(kind):
            return int(text)
        if pa.types.is_floating(kind):
            return typed(float(text), kind)
        if pa.types.is_nested(kind):
            return "nested"  # its form is StarRocks' own; the job's tests compare it
        return text

    ours = [{field.name: parsed(text, field) for field, text in zip(schema, row)} for row in found]
    expected = expectation(rows, schema)
    for row in expected:
        for field in schema:
            sql = (field.metadata or {}).get(b"starrocks.type", b"")
            if pa.types.is_nested(field.type) and sql != b"BITMAP" and row[field.name] is not None:
                row[field.name] = "nested"
    compare(canonical(ours, skipped), canonical(expected, skipped), what)


def lines(path):
    """The lines of a file compressed with zstd."""
    with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
        return stream.read().decode().splitlines()


def expected_of(case):
    """The stored rows of a tablet; some share theirs with the newest version's case of the most similar name."""
    name = "expected.jsonl.zst"
    if (case / name).exists():
        return lines(case / name)

    def alike(other):
        return len(os.path.commonprefix([other.name, case.name]))

    others = [other for other in sorted((TABLETS / "sr35").iterdir()) if (other / name).exists()]
    return lines(max(others, key=alike) / name)


def embedded(value):
    """Marks of the fixtures, as JSON lines have such values."""
    if "vpack" in value:
        return json.loads(value["json"]) if value["json"] else ""
    if "hll_card" in value:
        return value["hll_card"]
    if "bitmap" in value:
        return value["bitmap"]
    return value["hex"] if set(value) == {"p50", "hex"} else value


def check_tablet(case, work):
    """Every stored row of a tablet's directory, as JSON lines from a pipe and as Parquet: each cell, text for text."""
    expected = expected_of(case)
    parquet = work / "tablet.parquet"
    more = ("--physical", "--largeint", "decimal256")
    export(case / "tablet", "parquet", parquet, *more)
    read = pa.parquet.read_table(parquet)
    parquet.unlink()
    old_decimals = {f.name for f in read.schema if (f.metadata or {}).get(b"starrocks.type", b"").startswith(b"DECIMALV2")}
    command = [BINARY, "-q", "export", str(case / "tablet"), "--format", "jsonl", "--to", "-", "--physical"]
    ours = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode().splitlines()
    assert len(ours) == len(expected) == read.num_rows, f"{case}: {len(ours)}, {read.num_rows} and {len(expected)} rows"
    # Python compares slowly: of many rows some are looked at in Parquet.
    some = {row: at for at, row in enumerate(row for row in range(len(ours)) if row < 1000 or row % 100 == 0)}
    read = read.take(pa.array(list(some), pa.int64()))
    columns = [(field, cells(read[field.name])) for field in read.schema]
    for at, (line, wanted) in enumerate(zip(ours, expected)):
        if line == wanted and at not in some:
            continue
        row, theirs = json.loads(line), json.loads(wanted, object_hook=embedded)
        for name in old_decimals & {name for name, value in theirs.items() if value is not None}:
            # Segments of the oldest format are read with all their digits, SELECT prints none that say nothing.
            text = theirs[name]
            theirs[name] = text.rstrip("0").rstrip(".") if "." in text else text
        one, other = json.dumps(row), json.dumps(theirs)
        assert one == other, f"{case} jsonl, row {at}:\n  is       {one}\n  expected {other}"
        for field, values in columns if at in some else ():
            value, wanted = values[some[at]], theirs[field.name]
            if is_json(field):
                # StarRocks can store a value that is nothing, and prints it as nothing.
                same = value == wanted == "" or (None if value is None else json.loads(value)) == wanted
            else:
                same = in_parquet(value, field.type) == typed(plain(wanted), field.type)
            assert same, f"{case} parquet, row {at}, {field.name}: {value!r} is not {wanted!r}"
    return len(ours)


def cells(column):
    """The values of a column; dates as text, as Python knows no year 0."""
    if pa.types.is_temporal(column.type):
        return [None if text is None else text.removesuffix(".000000") for text in column.cast(pa.string()).to_pylist()]
    return column.to_pylist()


def in_parquet(value, kind):
    """A value as pyarrow returns it, in the form of the fixtures."""
    if isinstance(value, decimal.Decimal):
        plain_text = f"{value:f}"
        # What is left of the old type's digits; see check_tablet.
        old = (kind.precision, kind.scale) == (27, 9)
        return plain_text.rstrip("0").rstrip(".") if old else plain_text
    return nested(value, kind)


def main():
    with tempfile.TemporaryDirectory(prefix="starsnap-export-") as work:
        cases = [case for version in sorted(TABLETS.iterdir()) if version.is_dir() for case in sorted(version.iterdir())]
        assert len(cases) > 20, "the genuine tablets are missing"
        rows = sum(check_tablet(case, pathlib.Path(work)) for case in cases)
        print(f"{len(cases)} tablets have the {rows} rows that StarRocks' own readers find in them")
    tables = 0
    with tempfile.TemporaryDirectory(prefix="starsnap-export-") as work:
        for version, like in HUBS:
            expected = {}
            for file in sorted((FIXTURES / like / "hub" / "expected").iterdir()):
                parts = file.name.split(".")
                if len(parts) == 3:  # table, partition, jsonl: rollups are compared elsewhere
                    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
                    expected.setdefault(parts[0], []).extend(rows)
            assert len(expected) > 5, f"{version}: the expected rows are missing"
            for table, rows in expected.items():
                check_table(FIXTURES / version / "hub" / "location", version, table, rows, pathlib.Path(work))
                tables += 1
    print(f"{tables} tables read back as they were, by DuckDB {duckdb.__version__} and pyarrow {pa.__version__}")


main()
