//! What can go wrong with the catalog, told apart where a person or a job must act differently.

use rusqlite::ErrorCode;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("cannot open catalog \"{path}\": {cause}")]
    Open { path: PathBuf, cause: std::io::Error },
    #[error(
        "catalog \"{path}\" lies on a network filesystem ({fs_type}): locks and shared memory do not hold there, \
         and two stations would destroy it; put it on a local disk"
    )]
    Network { path: PathBuf, fs_type: String },
    #[error("catalog \"{path}\" has schema {found}, this program knows up to {known}: use a newer program")]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("catalog \"{path}\" has schema {found}, not yet brought to {known}: open it once for writing")]
    Older { path: PathBuf, found: i64, known: i64 },
    #[error("\"{path}\" is no catalog of goodgate")]
    NotOurs { path: PathBuf },
    #[error("catalog \"{path}\" is damaged: {cause}")]
    Corrupt { path: PathBuf, cause: String },
    #[error("catalog \"{path}\" is held by another writer: {cause}")]
    Busy { path: PathBuf, cause: String },
    #[error("no space left for catalog \"{path}\": {cause}")]
    Full { path: PathBuf, cause: String },
    #[error("catalog \"{path}\" cannot be read or written: {cause}")]
    Io { path: PathBuf, cause: String },
    #[error("catalog \"{path}\": {cause}")]
    Sql { path: PathBuf, cause: String },
    #[error("catalog \"{path}\" has no {what}")]
    Unknown { path: PathBuf, what: String },
    /// What shall be recorded cannot be true beside what is recorded. Nothing of the batch was written.
    #[error("catalog \"{path}\" refuses: {why}")]
    Refused { path: PathBuf, why: String },
    #[error("\"{path}\" is not restored: {why}")]
    NoBackup { path: PathBuf, why: String },
    #[error("catalog \"{path}\" is there and can be read: {why}")]
    Present { path: PathBuf, why: String },
    #[error("cannot back up catalog \"{path}\" to \"{dest}\": {cause}")]
    Backup { path: PathBuf, dest: PathBuf, cause: String },
}

/// An error inside a transaction, before it is known for which file.
#[derive(Debug)]
pub(super) enum Fault {
    Sql(rusqlite::Error),
    Unknown(String),
    Refused(String),
    Corrupt(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(e: rusqlite::Error) -> Self {
        Fault::Sql(e)
    }
}

impl Fault {
    pub(super) fn at(self, path: &Path) -> CatalogError {
        let path = path.to_path_buf();
        match self {
            Fault::Sql(e) => of_sqlite(&path, &e),
            Fault::Unknown(what) => CatalogError::Unknown { path, what },
            Fault::Refused(why) => CatalogError::Refused { path, why },
            Fault::Corrupt(cause) => CatalogError::Corrupt { path, cause },
        }
    }
}

pub(super) fn of_sqlite(path: &Path, e: &rusqlite::Error) -> CatalogError {
    use rusqlite::Error;
    let (path, cause) = (path.to_path_buf(), e.to_string());
    if matches!(
        e,
        Error::FromSqlConversionFailure(..) | Error::InvalidColumnType(..) | Error::IntegralValueOutOfRange(..)
    ) {
        return CatalogError::Corrupt { path, cause };
    }
    match e.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => CatalogError::Busy { path, cause },
        Some(ErrorCode::DiskFull) => CatalogError::Full { path, cause },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => CatalogError::Corrupt { path, cause },
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ReadOnly) => {
            CatalogError::Io { path, cause }
        }
        _ => CatalogError::Sql { path, cause },
    }
}
