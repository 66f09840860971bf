//! Roles: the four that every organization has, and those that it makes for itself.

mod built_in;
mod custom;
mod held;

pub use built_in::{Role, UnknownRole};
pub use custom::{CustomRole, InvalidRole, NewRole, RoleChange, RoleId, RoleName, scope_set};
pub use held::{Grantor, MemberRole, RoleKey};
