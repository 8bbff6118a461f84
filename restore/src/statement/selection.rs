//! What a BACKUP or RESTORE takes: the ON clause, and external catalogs.

/// The ON clause. Empty (no clause): everything the database or snapshot has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// `ALL TABLES`
    pub all_tables: bool,
    /// `ALL MATERIALIZED VIEWS`
    pub all_materialized_views: bool,
    /// `ALL VIEWS`
    pub all_views: bool,
    /// `ALL FUNCTIONS`
    pub all_functions: bool,
    pub items: Vec<Item>,
}

impl Selection {
    /// True without an ON clause.
    pub fn is_everything(&self) -> bool {
        *self == Selection::default()
    }
}

/// What kind of object an item names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ItemKind {
    /// A bare name: a table, or whatever bears the name.
    Any,
    Table,
    MaterializedView,
    View,
    Function,
}

/// One named object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub kind: ItemKind,
    pub name: String,
    /// `PARTITION (p, …)`; empty for all.
    pub partitions: Vec<String>,
    /// `AS alias` (RESTORE only).
    pub alias: Option<String>,
}

/// External catalogs named by a statement of 3.4 and later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Catalogs {
    #[default]
    None,
    All,
    /// Names, with aliases in RESTORE.
    Named(Vec<(String, Option<String>)>),
}
