//! Identities that were recorded once and must never be made anew: the key ring's fingerprint, the database's identity.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::Error;

/// The recorded value of `key`.
pub async fn get(conn: &mut PgConnection, service: &str, key: &str) -> Result<Option<String>, Error> {
    sqlx::query_scalar("SELECT value FROM accord.identity WHERE service = $1 AND key = $2")
        .bind(service)
        .bind(key)
        .fetch_optional(conn)
        .await
        .map_err(Error::at("read the recorded identity"))
}

/// Everything recorded for a service.
pub async fn all(conn: &mut PgConnection, service: &str) -> Result<BTreeMap<String, String>, Error> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT key, value FROM accord.identity WHERE service = $1")
            .bind(service)
            .fetch_all(conn)
            .await
            .map_err(Error::at("read the recorded identities"))?;
    Ok(rows.into_iter().collect())
}

/// Records `value`, or confirms that it is what was recorded before; another value is an error, never an update.
pub async fn set_once(conn: &mut PgConnection, service: &str, key: &str, value: &str) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO accord.identity (service, key, value) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(service)
    .bind(key)
    .bind(value)
    .execute(&mut *conn)
    .await
    .map_err(Error::at("record the identity"))?;
    match get(conn, service, key).await? {
        Some(recorded) if recorded == value => Ok(()),
        recorded => Err(Error::IdentityDiffers {
            key: key.to_owned(),
            recorded: recorded.unwrap_or_default(),
            offered: value.to_owned(),
        }),
    }
}
