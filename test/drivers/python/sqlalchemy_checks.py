"""SQLAlchemy on psycopg: an ORM's way of talking, and its reading of the catalogue."""

import os

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from report import equal, needs_rules, report

schema = f"sqlalchemy_{os.getpid()}"
engine = sa.create_engine("postgresql+psycopg://", pool_pre_ping=True)


class Base(DeclarativeBase):
    metadata = sa.MetaData(schema=schema)


class Owner(Base):
    __tablename__ = "owner"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    pets: Mapped[list["Pet"]] = relationship(back_populates="owner", order_by="Pet.id")


class Pet(Base):
    __tablename__ = "pet"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    owner_id: Mapped[int] = mapped_column(sa.ForeignKey(Owner.id), index=True)
    owner: Mapped[Owner] = relationship(back_populates="pets")


def state_of(action):
    """SQLSTATE of the error the action must raise."""
    try:
        action()
    except sa.exc.DBAPIError as error:
        return error.orig.sqlstate
    raise AssertionError("no error")


def connect():
    with engine.connect() as db:
        equal(db.scalar(sa.text("SELECT 1")), 1)


def orm():
    with Session(engine) as session:
        session.add(Owner(name="Ünal", pets=[Pet(name=f"pet {n}") for n in range(5)]))
        session.commit()
        owner = session.scalars(sa.select(Owner).where(Owner.name == "Ünal")).one()
        equal([pet.name for pet in owner.pets], [f"pet {n}" for n in range(5)])
        owner.pets[0].name = "renamed"
        session.delete(owner.pets[4])
        session.commit()
        names = sa.select(Pet.name).join(Owner).order_by(Pet.id)
        equal(list(session.scalars(names)), ["renamed", "pet 1", "pet 2", "pet 3"])


def reflection():
    inspector = sa.inspect(engine)
    equal(sorted(inspector.get_table_names(schema=schema)), ["owner", "pet"])
    reflected = sa.MetaData()
    reflected.reflect(engine, schema=schema)
    pet = reflected.tables[f"{schema}.pet"]
    equal([column.name for column in pet.columns], ["id", "name", "owner_id"])
    equal([key.column.table.name for key in pet.foreign_keys], ["owner"])
    equal([index.name for index in pet.indexes], [f"ix_{schema}_pet_owner_id"])


def errors():
    def duplicate():
        with Session(engine) as session:
            session.add_all([Owner(name="twice"), Owner(name="twice")])
            session.commit()

    equal(state_of(duplicate), "23505")
    with Session(engine) as session:
        equal(session.scalar(sa.select(sa.func.count()).where(Owner.name == "twice")), 0)


def portal():
    with engine.connect().execution_options(yield_per=7) as db:
        equal(list(db.scalars(sa.text("SELECT generate_series(1, 50)"))), list(range(1, 51)))


def refusal():
    needs_rules()
    refused = sa.table("refused_table", sa.column("id"))
    with engine.connect() as db:
        equal(state_of(lambda: db.execute(sa.delete(refused))), "42501")
        db.rollback()
        equal(db.scalar(sa.select(sa.func.count()).select_from(refused)), 3)


def refusal_in_transaction():
    needs_rules()

    def unit_of_work():
        with Session(engine) as session, session.begin():
            session.add(Owner(name="undone"))
            session.flush()
            session.execute(sa.text("DELETE FROM refused_table"))

    equal(state_of(unit_of_work), "42501")
    with Session(engine) as session:
        equal(session.scalar(sa.select(sa.func.count()).where(Owner.name == "undone")), 0)


with engine.begin() as db:
    db.execute(sa.schema.CreateSchema(schema))
    Base.metadata.create_all(db)
for check in [connect, orm, reflection, errors, portal, refusal, refusal_in_transaction]:
    name = check.__name__.replace("_", "-")
    try:
        check()
        report(name)
    except Exception as error:
        report(name, error)
with engine.begin() as db:
    db.execute(sa.schema.DropSchema(schema, cascade=True))
