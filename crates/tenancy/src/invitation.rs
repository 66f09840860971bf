plinth_core::typed_id! {
    /// Identifies an invitation into an organization.
    InvitationId, "inv"
}
