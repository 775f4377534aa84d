-- What came of comparing a card's one read with histories and lists that the card itself carries. For people: what
-- does not fit is a warning as well.
CREATE TABLE source_check (
  card_id TEXT NOT NULL REFERENCES card(id), name TEXT NOT NULL, text TEXT NOT NULL, at TEXT NOT NULL,
  PRIMARY KEY (card_id, name)
) STRICT, WITHOUT ROWID;
