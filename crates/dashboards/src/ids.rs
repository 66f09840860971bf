plinth_core::typed_id! {
    /// Identifies a dashboard.
    DashboardId, "dash"
}
plinth_core::typed_id! {
    /// Identifies a widget of a dashboard.
    WidgetId, "wid"
}
plinth_core::typed_id! {
    /// Identifies a link to a dashboard.
    ShareId, "share"
}
