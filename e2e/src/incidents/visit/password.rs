//! A visit that changes the user's password: at once the old one must be over everywhere, and the new one good.
//!
//! However it goes, the password is afterwards what it was.

use serde_json::json;

use super::{Held, User, Visit, ask, expect};
use crate::http::{PodHttp, Request};

/// Enough for each of a few replicas behind one address to have seen the user.
const KNOWN: usize = 6;

/// Changes the password of the `number`-th user at `home`, tries both at `there`, and changes it back.
pub(super) fn change(user: &User<'_>, number: usize, home: &PodHttp, there: &PodHttp) -> Result<(), Visit> {
    let names = user.app.users_in_turn;
    let name = names[number % names.len()];
    let mut held = Held::default();
    user.log_in_with((name, user.password), home, &mut held)
        .map_err(|visit| match visit {
            Visit::Wrong(words) => Visit::NoLogin(words),
            other => other,
        })?;
    // The others have seen the user before: what they remember is what may be stale.
    for _ in 0..KNOWN {
        user.log_in_with((name, user.password), there, &mut Held::default())?;
    }
    let new = format!("{} anew", user.password);
    set(user, home, &mut held, (user.password, &new))?;
    let tried = both(user, name, there, &new);
    set(user, home, &mut held, (&new, user.password))?;
    tried
}

fn both(user: &User<'_>, name: &str, at: &PodHttp, new: &str) -> Result<(), Visit> {
    let old = json!({"username": name, "password": user.password});
    let what = "the old password after its change";
    let answer = ask(what, at, &user.post(user.app.login, &old, &Held::default()))?;
    expect(what, at, &answer, answer.status == 401)?;
    user.log_in_with((name, new), at, &mut Held::default())
}

/// By the access token, which the answer replaces: a changed password ends those before it.
fn set(user: &User<'_>, at: &PodHttp, held: &mut Held, (old, new): (&str, &str)) -> Result<(), Visit> {
    let body = json!({"old_password": old, "new_password": new});
    let path = user.app.change_password.unwrap_or_default();
    let request = Request::post(path, &body)
        .host(user.app.host)
        .bearer(held.access.as_deref().unwrap_or_default());
    let what = "the change of password";
    let answer = ask(what, at, &request)?;
    expect(what, at, &answer, answer.status == 200)?;
    let field = user.app.tokens.as_ref().map_or("", |tokens| tokens.access);
    held.access = answer.field(field).map(str::to_owned);
    Ok(())
}
