//! Tokens to statements.

use super::lexer::{self, Kind, Token};
use super::{Catalogs, Item, ItemKind, Located, Properties, Selection, Statement, StatementError};

type Result<T> = std::result::Result<T, StatementError>;

pub(super) struct Parser {
    tokens: Vec<Token>,
    at: usize,
    /// Within PROPERTIES, whose values may be secrets that somebody forgot to quote.
    secretive: bool,
    /// Line and column behind the last character.
    end: (usize, usize),
}

impl Parser {
    pub fn new(text: &str) -> Result<Parser> {
        let tokens = lexer::tokens(text).map_err(|error| error.error)?;
        let line = text.matches('\n').count() + 1;
        let column = text.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Ok(Parser { tokens, at: 0, secretive: false, end: (line, column) })
    }

    pub fn statements(mut self) -> Result<Vec<Located>> {
        let mut statements = Vec::new();
        loop {
            while self.symbol(';') {}
            let Some(first) = self.tokens.get(self.at) else { return Ok(statements) };
            let (line, column) = (first.line, first.column);
            let statement = self.statement()?;
            let vertical = self.tokens.get(self.at).is_some_and(|token| token.kind == Kind::Vertical);
            self.at += usize::from(vertical);
            statements.push(Located { line, column, statement, vertical });
            if self.at < self.tokens.len() && !vertical && !self.symbol(';') {
                return Err(self.unexpected("`;` or the end of the statement"));
            }
        }
    }

    fn statement(&mut self) -> Result<Statement> {
        if self.keyword("CREATE") {
            return self.create_repository();
        }
        if self.keyword("DROP") {
            self.expect("REPOSITORY")?;
            return Ok(Statement::DropRepository { name: self.name("a repository's name")? });
        }
        if self.keyword("SHOW") {
            return self.show();
        }
        if self.keyword("BACKUP") {
            return self.backup();
        }
        if self.keyword("RESTORE") {
            return self.restore();
        }
        if self.keyword("CANCEL") {
            return self.cancel();
        }
        if self.keyword("USE") {
            return Ok(Statement::Use { database: self.name("a database's name")? });
        }
        if self.keyword("SET") {
            let name = self.name("an option's name")?;
            self.expect_symbol('=')?;
            return Ok(Statement::Set { name, value: self.value("the option's value")? });
        }
        Err(self.unexpected("CREATE REPOSITORY, DROP REPOSITORY, SHOW, BACKUP, RESTORE, CANCEL, USE or SET"))
    }

    fn create_repository(&mut self) -> Result<Statement> {
        let read_only = self.keyword("READ");
        if read_only {
            self.expect("ONLY")?;
        }
        self.expect("REPOSITORY")?;
        let name = self.name("a repository's name")?;
        self.expect("WITH")?;
        self.expect("BROKER")?;
        let broker = if self.is_keyword("ON") { None } else { Some(self.value("a broker's name or ON LOCATION")?) };
        self.expect("ON")?;
        self.expect("LOCATION")?;
        let location = self.text("the location, in quotes")?;
        let properties = self.properties()?;
        Ok(Statement::CreateRepository { read_only, name, broker, location, properties })
    }

    fn show(&mut self) -> Result<Statement> {
        if self.keyword("REPOSITORIES") {
            return Ok(Statement::ShowRepositories);
        }
        if self.keyword("BACKUP") {
            return Ok(Statement::ShowBackup { database: self.database_clause()? });
        }
        if self.keyword("RESTORE") {
            return Ok(Statement::ShowRestore { database: self.database_clause()? });
        }
        self.expect("SNAPSHOT")?;
        self.expect("ON")?;
        let repository = self.name("a repository's name")?;
        let (mut labels, mut timestamp) = (Vec::new(), None);
        if self.keyword("WHERE") {
            loop {
                if self.keyword("SNAPSHOT") {
                    labels = self.one_or_list()?;
                } else if self.keyword("TIMESTAMP") {
                    self.expect_symbol('=')?;
                    timestamp = Some(self.text("a timestamp, in quotes")?);
                } else {
                    return Err(self.unexpected("SNAPSHOT or TIMESTAMP"));
                }
                if !self.keyword("AND") {
                    break;
                }
            }
        }
        if timestamp.is_some() && labels.len() != 1 {
            return Err(self.error_here("TIMESTAMP needs one SNAPSHOT = \"label\" beside it".into()));
        }
        Ok(Statement::ShowSnapshot { repository, labels, timestamp })
    }

    fn one_or_list(&mut self) -> Result<Vec<String>> {
        if self.symbol('=') {
            return Ok(vec![self.text("a snapshot's label, in quotes")?]);
        }
        self.expect("IN")?;
        self.list(|parser| parser.text("a snapshot's label, in quotes"))
    }

    fn database_clause(&mut self) -> Result<Option<String>> {
        let named = self.keyword("FROM") || self.keyword("IN");
        if named { Ok(Some(self.name("a database's name")?)) } else { Ok(None) }
    }

    fn backup(&mut self) -> Result<Statement> {
        let catalogs = self.catalogs(false)?;
        let mut database = None;
        if self.keyword("DATABASE") {
            database = Some(self.name("a database's name")?);
        }
        self.expect("SNAPSHOT")?;
        let (qualifier, label) = self.label()?;
        let database = self.one_database(database, qualifier)?;
        self.expect("TO")?;
        let repository = self.name("a repository's name")?;
        let selection = self.selection(false)?;
        self.check_catalogs(&catalogs, database.is_some(), &selection)?;
        let properties = self.properties()?;
        Ok(Statement::Backup { database, label, repository, selection, catalogs, properties })
    }

    fn restore(&mut self) -> Result<Statement> {
        self.expect("SNAPSHOT")?;
        let (qualifier, label) = self.label()?;
        self.expect("FROM")?;
        let repository = self.name("a repository's name")?;
        let catalogs = self.catalogs(true)?;
        let (mut database, mut database_alias) = (None, None);
        if self.keyword("DATABASE") {
            database = Some(self.name("a database's name")?);
            if self.keyword("AS") {
                database_alias = Some(self.name("the new database's name")?);
            }
        }
        let database = self.one_database(database, qualifier)?;
        let selection = self.selection(true)?;
        self.check_catalogs(&catalogs, database.is_some(), &selection)?;
        let properties = self.properties()?;
        Ok(Statement::Restore { database, database_alias, label, repository, selection, catalogs, properties })
    }

    fn cancel(&mut self) -> Result<Statement> {
        let backup = self.keyword("BACKUP");
        if !backup {
            self.expect("RESTORE")?;
        }
        let external_catalog = self.keyword("FOR");
        if external_catalog {
            self.expect("EXTERNAL")?;
            self.expect("CATALOG")?;
        }
        let database = if external_catalog { None } else { self.database_clause()? };
        Ok(if backup {
            Statement::CancelBackup { database, external_catalog }
        } else {
            Statement::CancelRestore { database, external_catalog }
        })
    }

    /// `[db.]label`
    fn label(&mut self) -> Result<(Option<String>, String)> {
        let first = self.name("a snapshot's label")?;
        if !self.symbol('.') {
            return Ok((None, first));
        }
        Ok((Some(first), self.name("a snapshot's label")?))
    }

    fn one_database(&self, clause: Option<String>, qualifier: Option<String>) -> Result<Option<String>> {
        match (clause, qualifier) {
            (Some(_), Some(_)) => {
                Err(self.error_here("with a DATABASE clause the label stands alone, without `database.`".into()))
            }
            (clause, qualifier) => Ok(clause.or(qualifier)),
        }
    }

    fn check_catalogs(&self, catalogs: &Catalogs, database: bool, selection: &Selection) -> Result<()> {
        if *catalogs != Catalogs::None && (database || !selection.is_everything()) {
            return Err(self.error_here("external catalogs go without a database and without an ON clause".into()));
        }
        Ok(())
    }

    /// `ALL EXTERNAL CATALOGS | EXTERNAL CATALOG[S] (c [AS a], …)`
    fn catalogs(&mut self, alias: bool) -> Result<Catalogs> {
        if self.keyword("ALL") {
            self.expect("EXTERNAL")?;
            self.expect_either("CATALOGS", "CATALOG")?;
            return Ok(Catalogs::All);
        }
        if !self.keyword("EXTERNAL") {
            return Ok(Catalogs::None);
        }
        self.expect_either("CATALOG", "CATALOGS")?;
        let named = self.list(|parser| {
            let name = parser.name("a catalog's name")?;
            Ok((name, parser.alias(alias)?))
        })?;
        Ok(Catalogs::Named(named))
    }

    fn alias(&mut self, allowed: bool) -> Result<Option<String>> {
        if !self.is_keyword("AS") {
            return Ok(None);
        }
        if !allowed {
            return Err(self.error_here("AS renames in RESTORE only".into()));
        }
        self.at += 1;
        Ok(Some(self.name("the new name")?))
    }

    /// `ON (…)`
    fn selection(&mut self, alias: bool) -> Result<Selection> {
        let mut selection = Selection::default();
        if !self.keyword("ON") {
            return Ok(selection);
        }
        let items = self.list(|parser| parser.object(alias))?;
        for item in items {
            match item {
                Object::Item(item) => selection.items.push(item),
                Object::All(ItemKind::MaterializedView) => selection.all_materialized_views = true,
                Object::All(ItemKind::View) => selection.all_views = true,
                Object::All(ItemKind::Function) => selection.all_functions = true,
                Object::All(_) => selection.all_tables = true,
            }
        }
        Ok(selection)
    }

    /// One entry of the ON clause; `TABLES t1, t2` goes on as bare names, which mean the same.
    fn object(&mut self, alias: bool) -> Result<Object> {
        let start = self.at;
        if self.keyword("ALL")
            && let Some(kind) = self.object_kind()
        {
            return Ok(Object::All(kind));
        }
        self.at = start;
        let kind = match self.object_kind() {
            // A table may be called `view`: the word is a kind only when a name follows.
            Some(kind) if self.is_name() => kind,
            _ => {
                self.at = start;
                ItemKind::Any
            }
        };
        let name = self.name("an object's name")?;
        let mut partitions = Vec::new();
        if matches!(kind, ItemKind::Any | ItemKind::Table) && (self.keyword("PARTITION") || self.keyword("PARTITIONS"))
        {
            partitions = self.list(|parser| parser.value("a partition's name"))?;
        }
        let alias = self.alias(alias)?;
        Ok(Object::Item(Item { kind, name, partitions, alias }))
    }

    fn object_kind(&mut self) -> Option<ItemKind> {
        if self.keyword("TABLE") || self.keyword("TABLES") {
            return Some(ItemKind::Table);
        }
        if self.keyword("VIEW") || self.keyword("VIEWS") {
            return Some(ItemKind::View);
        }
        if self.keyword("FUNCTION") || self.keyword("FUNCTIONS") {
            return Some(ItemKind::Function);
        }
        let start = self.at;
        if self.keyword("MATERIALIZED") && (self.keyword("VIEW") || self.keyword("VIEWS")) {
            return Some(ItemKind::MaterializedView);
        }
        self.at = start;
        None
    }

    /// `PROPERTIES ("k" = "v", …)`, or nothing.
    fn properties(&mut self) -> Result<Properties> {
        if !self.keyword("PROPERTIES") {
            return Ok(Properties::default());
        }
        self.secretive = true;
        let pairs = self.list(|parser| {
            let key = parser.value("a property's name")?;
            parser.expect_symbol('=')?;
            Ok((key, parser.value("the property's value")?))
        })?;
        self.secretive = false;
        Ok(Properties(pairs))
    }

    /// `(item, …)`, at least one.
    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        self.expect_symbol('(')?;
        let mut items = vec![item(self)?];
        while self.symbol(',') {
            items.push(item(self)?);
        }
        self.expect_symbol(')')?;
        Ok(items)
    }

    fn is_keyword(&self, keyword: &str) -> bool {
        matches!(self.kind(), Some(Kind::Word(word)) if word.eq_ignore_ascii_case(keyword))
    }

    fn is_name(&self) -> bool {
        matches!(self.kind(), Some(Kind::Word(_) | Kind::Quoted(_)))
            && !self.is_keyword("PARTITION")
            && !self.is_keyword("AS")
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let found = self.is_keyword(keyword);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, keyword: &str) -> Result<()> {
        if self.keyword(keyword) { Ok(()) } else { Err(self.unexpected(keyword)) }
    }

    fn expect_either(&mut self, one: &str, other: &str) -> Result<()> {
        if self.keyword(one) || self.keyword(other) { Ok(()) } else { Err(self.unexpected(one)) }
    }

    fn symbol(&mut self, symbol: char) -> bool {
        let found = self.kind() == Some(&Kind::Symbol(symbol));
        self.at += usize::from(found);
        found
    }

    fn expect_symbol(&mut self, symbol: char) -> Result<()> {
        if self.symbol(symbol) { Ok(()) } else { Err(self.unexpected(&format!("`{symbol}`"))) }
    }

    /// A name, bare or in backquotes.
    fn name(&mut self, what: &str) -> Result<String> {
        match self.kind() {
            Some(Kind::Word(name) | Kind::Quoted(name)) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.unexpected(what)),
        }
    }

    /// A string.
    fn text(&mut self, what: &str) -> Result<String> {
        match self.kind() {
            Some(Kind::Text(text)) => {
                let text = text.clone();
                self.at += 1;
                Ok(text)
            }
            _ => Err(self.unexpected(what)),
        }
    }

    /// A name or a string.
    fn value(&mut self, what: &str) -> Result<String> {
        if matches!(self.kind(), Some(Kind::Text(_))) { self.text(what) } else { self.name(what) }
    }

    fn kind(&self) -> Option<&Kind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    fn unexpected(&self, wanted: &str) -> StatementError {
        // A string may be a secret: it is not repeated.
        let found = match self.kind() {
            Some(Kind::Word(_) | Kind::Quoted(_)) if self.secretive => "a word".into(),
            Some(Kind::Word(word)) => format!("`{word}`"),
            Some(Kind::Quoted(name)) => format!("`{name}`"),
            Some(Kind::Text(_)) => "a string".into(),
            Some(Kind::Symbol(symbol)) => format!("`{symbol}`"),
            Some(Kind::Vertical) => "`\\G`".into(),
            // Those of conditions, which statements have not.
            Some(Kind::Number(_) | Kind::Operator(_)) => "a number or an operator".into(),
            None => "the end".into(),
        };
        self.error_here(format!("expected {wanted}, found {found}"))
    }

    fn error_here(&self, reason: String) -> StatementError {
        let (line, column) = self.tokens.get(self.at).map_or(self.end, |token| (token.line, token.column));
        StatementError { line, column, reason }
    }
}

enum Object {
    All(ItemKind),
    Item(Item),
}
