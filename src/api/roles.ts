import type { Role } from '../config/config.ts';
import type { Identity } from '../identity/identity.ts';

/**
 * Who may use a route: `public` needs no login; `anyone` is whoever has logged in, for what is their own business; the rest
 * are roles.
 */
export type Audience = 'public' | 'anyone' | Role;

/** Roles that may see what another may. Nobody votes by being an administrator. */
const INCLUDED_IN: Readonly<Record<Role, readonly Role[]>> = {
  viewer: ['viewer', 'approver', 'auditor', 'admin'],
  approver: ['approver'],
  auditor: ['auditor', 'admin'],
  admin: ['admin'],
};

/**
 * The roles of an identity by its groups. An agent never has one, whatever groups it is in: it must not vote about its own
 * statements, nor unlock itself. Only people vote.
 */
export function rolesOf({ kind, groups }: Identity, config: { readonly [Name in Role]: readonly string[] }): Role[] {
  if (kind === 'agent') return [];
  return (Object.keys(INCLUDED_IN) as Role[]).filter(
    (role) => (role !== 'approver' || kind === 'human') && config[role].some((group) => groups.includes(group)),
  );
}

/** True if somebody with these roles may use a route. */
export function mayUse(audience: Audience, roles: readonly Role[]): boolean {
  if (audience === 'public' || audience === 'anyone') return true;
  return roles.some((role) => INCLUDED_IN[audience].includes(role));
}
