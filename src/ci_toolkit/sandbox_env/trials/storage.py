"""Trials of the group storage and formats."""

from typing import Final

from ci_toolkit.sandbox_env.trials.trial import Trial

__all__ = ["TRIALS"]

TRIALS: Final = {
    "duckdb": Trial(
        "asks a DataFrame and a Parquet file in SQL",
        """
import duckdb, pandas as pd
sales = pd.DataFrame({"shop": ["a", "b", "a"], "sold": [1, 2, 3]})
duckdb.sql("copy (select * from sales) to 'sales.parquet' (format parquet)")
total = duckdb.sql("select shop, sum(sold) n from 'sales.parquet' group by 1 order by 1").df()
assert total.n.tolist() == [4, 2]
""",
    ),
    "SQLAlchemy": Trial(
        "keeps objects in an SQLite file, and asks for them",
        """
from sqlalchemy import String, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
class Base(DeclarativeBase):
    pass
class Fruit(Base):
    __tablename__ = "fruit"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))
engine = create_engine("sqlite:///fruit.db")
Base.metadata.create_all(engine)
with Session(engine) as session:
    session.add_all([Fruit(name="apple"), Fruit(name="fig")])
    session.commit()
    assert session.scalars(select(Fruit.name).where(Fruit.id == 2)).one() == "fig"
""",
    ),
    "pyarrow": Trial(
        "writes a Parquet file, and reads one column of it",
        """
import pyarrow as pa, pyarrow.compute as pc, pyarrow.parquet as pq
pq.write_table(pa.table({"a": range(1000), "b": ["x"] * 1000}), "table.parquet")
assert pc.sum(pq.read_table("table.parquet", columns=["a"])["a"]).as_py() == 499500
""",
    ),
    "orjson": Trial(
        "writes dates and arrays as JSON",
        """
import datetime, numpy as np, orjson
value = {"when": datetime.date(2026, 1, 2), "numbers": np.arange(3)}
written = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
assert orjson.loads(written) == {"when": "2026-01-02", "numbers": [0, 1, 2]}
""",
    ),
    "ujson": Trial(
        "writes JSON, and reads it",
        """
import ujson
assert ujson.loads(ujson.dumps({"a": [1, 2.5, None, "ü"]})) == {"a": [1, 2.5, None, "ü"]}
""",
    ),
    "PyYAML": Trial(
        "reads settings with the compiled parser, and writes them",
        """
import yaml
settings = yaml.load("a: &x [1, 2]\\nb: *x\\nc: {d: yes}", Loader=yaml.CSafeLoader)
assert settings == {"a": [1, 2], "b": [1, 2], "c": {"d": True}}
assert yaml.safe_load(yaml.safe_dump(settings)) == settings
""",
    ),
}
