import type { Etcd3, IPermission } from 'etcd3'
import { prefixEnd } from '../../lib/etcd.ts'
import { canaryPrefix, clusterConfigKey, HEARTBEAT_KEY } from '../../types/wire/keys.ts'

/**
 * Who may do what in an exporter's etcd. It takes the common name of a client's certificate for the user; no user has a
 * password. As Cilium's `etcdinit` sets it up:
 *
 * | user | role | rights |
 * |---|---|---|
 * | `root`, `admin-<cluster>` | `root` | all |
 * | `remote`, `remote-<peer>` | `remote` | reads the heartbeat, what is exported, the own cluster-config and canaries |
 * | `local-<cluster>` | `local` | reads the heartbeat, what was mirrored, all cluster-configs and canaries |
 */
export interface RoleSpec {
  /** The exporting cluster. */
  readonly cluster: string
  /** Users `remote-<peer>`; those that are not named here are removed. Undefined: not known, none is removed. */
  readonly remoteUsers: readonly string[] | undefined
}

type Range = Pick<IPermission, 'key' | 'range_end'>

const REMOTE = 'remote'
const LOCAL = 'local'
const ROOT = 'root'

/**
 * Brings users, roles and permissions into this form and turns authentication on. What is right already is left alone, so it
 * may run as often as one likes; authentication comes last, so that what was begun and not finished locks nobody out.
 *
 * @returns what was changed, for the log
 * @throws the client's error when etcd does not answer, or when the client is no `root`
 */
export async function applyRoles(client: Etcd3, spec: RoleSpec): Promise<readonly string[]> {
  const changes: string[] = []
  const { auth } = client
  const did = async (what: string, call: Promise<unknown>): Promise<void> => {
    await call
    changes.push(what)
  }

  const wantedRoles = rangesOf(spec.cluster)
  const roles = new Set((await auth.roleList()).roles)
  for (const [role, ranges] of wantedRoles) {
    if (!roles.has(role)) await did(`role ${role}`, auth.roleAdd({ name: role }))
    const found = roles.has(role) && role !== ROOT ? (await auth.roleGet({ role })).perm : []
    for (const perm of found) {
      if (perm.permType === 'Read' && ranges.some((range) => same(range, perm))) continue
      const { key, range_end } = perm
      await did(`role ${role} without ${String(key)}`, auth.roleRevokePermission({ role, key, range_end }))
    }
    for (const range of ranges) {
      if (found.some((perm) => perm.permType === 'Read' && same(range, perm))) continue
      const perm: IPermission = { permType: 'Read', ...range }
      await did(`role ${role} reads ${String(range.key)}`, auth.roleGrantPermission({ name: role, perm }))
    }
  }

  const wantedUsers = usersOf(spec)
  const users = new Set((await auth.userList()).users)
  for (const [name, role] of wantedUsers) {
    if (!users.has(name)) await did(`user ${name}`, auth.userAdd({ name, options: { no_password: true } }))
    const held = users.has(name) ? (await auth.userGet({ name })).roles : []
    for (const other of held) {
      if (other !== role) await did(`user ${name} no ${other}`, auth.userRevokeRole({ name, role: other }))
    }
    if (!held.includes(role)) await did(`user ${name} is ${role}`, auth.userGrantRole({ user: name, role }))
  }
  for (const name of spec.remoteUsers === undefined ? [] : users) {
    if (name.startsWith('remote-') && !wantedUsers.has(name)) await did(`no user ${name}`, auth.userDelete({ name }))
  }
  await auth.authEnable() // etcd ignores it when it is on; there is no way to ask before 3.5
  return changes
}

function usersOf({ cluster, remoteUsers }: RoleSpec): ReadonlyMap<string, string> {
  return new Map([
    ['root', ROOT],
    [`admin-${cluster}`, ROOT],
    ['remote', REMOTE],
    ...(remoteUsers ?? []).map((name) => [name, REMOTE] as const),
    [`local-${cluster}`, LOCAL],
  ])
}

function rangesOf(cluster: string): ReadonlyMap<string, readonly Range[]> {
  return new Map([
    [ROOT, []],
    [
      REMOTE,
      [below(HEARTBEAT_KEY), below('cilium/state/'), only(clusterConfigKey(cluster)), below(canaryPrefix(cluster))],
    ],
    [LOCAL, [HEARTBEAT_KEY, 'cilium/cache/', 'cilium/cluster-config/', 'cilium/synced/'].map(below)],
  ])
}

function below(prefix: string): Range {
  return { key: Buffer.from(prefix), range_end: prefixEnd(prefix) }
}

function only(key: string): Range {
  return { key: Buffer.from(key), range_end: Buffer.alloc(0) }
}

function same(a: Range, b: Range): boolean {
  return a.key.equals(b.key) && a.range_end.equals(b.range_end)
}
