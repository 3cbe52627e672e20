//! The applications of the incidents, as their users meet them. Data only; written down from the applications' own
//! pages and not taken from Accord's recipes, so that the one can't hide a mistake of the other.

/// An application of `examples/`.
pub(super) struct App {
    /// The directory, and the image's name.
    pub(super) example: &'static str,
    /// The name of the `AuthService` in its YAML.
    pub(super) service: &'static str,
    /// The declared hostname.
    pub(super) host: &'static str,
    /// The environment variable that chooses a fault.
    pub(super) fault: &'static str,
    /// The Secret with the demo users' password, under the key `password`.
    pub(super) users: &'static str,
    /// A demo user.
    pub(super) user: &'static str,
    /// Demo users whose passwords are changed, one after the other.
    pub(super) users_in_turn: &'static [&'static str],
    /// Takes `old_password` and `new_password` of who is logged in, and answers with new tokens, if it can be changed.
    pub(super) change_password: Option<&'static str>,
    /// Where a CSRF token comes from, if one is needed.
    pub(super) csrf: Option<Csrf>,
    /// Takes `username` and `password` as JSON.
    pub(super) login: &'static str,
    /// Says who is logged in, in the field `username`.
    pub(super) me: &'static str,
    /// Ends the session.
    pub(super) logout: &'static str,
    /// The session cookie: for the host that set it alone, `Secure`, `HttpOnly`, `SameSite=Lax`, and with an end of its own.
    pub(super) cookie: &'static str,
    /// What a login gives besides, if it gives tokens.
    pub(super) tokens: Option<Tokens>,
}

/// An access token and a refresh token.
pub(super) struct Tokens {
    /// The field of the access token in answers.
    pub(super) access: &'static str,
    /// The field of the refresh token, in answers and in requests.
    pub(super) refresh: &'static str,
    /// Takes the refresh token.
    pub(super) path: &'static str,
}

/// A token that a page sets as a cookie and wants back as a header.
pub(super) struct Csrf {
    pub(super) path: &'static str,
    pub(super) cookie: &'static str,
    pub(super) header: &'static str,
}

pub(super) const ORDERS: App = App {
    example: "django-orders",
    service: "orders",
    host: "orders.example.com",
    fault: "ORDERS_FAULT",
    users: "orders-demo-users",
    user: "staff1",
    users_in_turn: &["staff1", "staff2", "manager1", "finance1"],
    change_password: Some("/api/auth/change-password/"),
    csrf: None,
    login: "/api/auth/login/",
    me: "/api/auth/me/",
    logout: "/api/auth/logout/",
    cookie: "sessionid",
    tokens: Some(Tokens {
        access: "access",
        refresh: "refresh",
        path: "/api/auth/refresh/",
    }),
};

/// The preset's recipe, and the request that changes the password: no preset can know whether an application has one.
pub(super) const ORDERS_RECIPE: &str = include_str!("../../../examples/django-orders/recipe.yaml");

pub(super) const TICKETS: App = App {
    example: "flask-tickets",
    service: "tickets",
    host: "tickets.example.com",
    fault: "TICKETS_FAULT",
    users: "tickets-demo-users",
    user: "agent1",
    users_in_turn: &[],
    change_password: None,
    csrf: None,
    login: "/api/auth/login",
    me: "/api/auth/me",
    logout: "/api/auth/logout",
    cookie: "session",
    tokens: None,
};

/// The preset's recipe, and what the application promises of its cookie.
pub(super) const TICKETS_RECIPE: &str = include_str!("../../../examples/flask-tickets/recipe.yaml");

pub(super) const WORKFLOWS: App = App {
    example: "fastapi-workflows",
    service: "workflows",
    host: "workflows.example.com",
    fault: "WORKFLOWS_FAULT",
    users: "workflows-demo-users",
    user: "builder1",
    users_in_turn: &[],
    change_password: None,
    csrf: Some(Csrf {
        path: "/api/auth/csrf",
        cookie: "csrf_token",
        header: "X-CSRF-Token",
    }),
    login: "/api/auth/login",
    me: "/api/auth/me",
    logout: "/api/auth/logout",
    cookie: "session",
    tokens: Some(Tokens {
        access: "access_token",
        refresh: "refresh_token",
        path: "/api/auth/refresh",
    }),
};
