import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import type { Clock } from '../../lib/clock.ts'
import { ConfigError, describeError } from '../../lib/errors.ts'
import type { EtcdEndpoint } from '../../lib/etcd.ts'
import { createEtcdClient, EtcdError } from '../../lib/etcd.ts'
import type { Log } from '../../lib/log.ts'
import { rounds } from '../../lib/rounds.ts'
import { isClusterName } from '../../types/wire/keys.ts'
import { applyRoles } from './roles.ts'

/** How often etcd is looked at again: it may have been emptied, and the users file may have changed. */
const ROUND_MS = 30_000

export interface RoleKeeperOptions {
  readonly endpoint: EtcdEndpoint
  readonly cluster: string
  /** YAML: `users: [{name: remote-<peer>, role: remote}]`; undefined for none. */
  readonly usersFile: string | undefined
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
}

/**
 * Keeps the users and roles of an exporter's etcd as they must be. `start` resolves once they are so for the first time:
 * nothing is to be written before, as anybody with a certificate could read or change it.
 */
export class RoleKeeper {
  readonly #options: RoleKeeperOptions
  readonly #stopped = new AbortController()
  #users: readonly string[] | undefined
  #complaint = ''
  #running: Promise<void> | undefined

  constructor(options: RoleKeeperOptions) {
    this.#options = options
    if (options.usersFile === undefined) this.#users = []
  }

  /** Rejects only when it is stopped before. */
  start(): Promise<void> {
    const { signal } = this.#stopped
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
      const { clock, random } = this.#options
      this.#running = rounds({ clock, random, signal, everyMs: ROUND_MS, againMs: 10_000 }, async () => {
        const applied = await this.#round()
        if (applied) resolve()
        return applied
      })
    })
  }

  async stop(): Promise<void> {
    this.#stopped.abort(new EtcdError('stopped', 'stopped'))
    await this.#running
  }

  async #round(): Promise<boolean> {
    const { endpoint, cluster, log } = this.#options
    try {
      await this.#readUsers()
      const client = createEtcdClient(endpoint)
      try {
        const changes = await applyRoles(client, { cluster, remoteUsers: this.#users })
        if (changes.length > 0) log.info({ changes }, 'users and roles of etcd brought in order')
      } finally {
        client.close()
      }
      this.#complaint = ''
      return true
    } catch (error) {
      const denied = /permission denied|user name not found|user name is empty/.test(describeError(error))
      const why = denied ? `the certificate must be of the user admin-${cluster} or root` : describeError(error)
      if (why !== this.#complaint) log.warn({ err: error }, `users and roles of etcd cannot be set: ${why}`)
      this.#complaint = why
      return false
    }
  }

  /** A file that cannot be read or understood changes nobody's rights. */
  async #readUsers(): Promise<void> {
    const { usersFile, log } = this.#options
    if (usersFile === undefined) return
    try {
      this.#users = parseUsers(usersFile, await readFile(usersFile, 'utf8'))
    } catch (error) {
      log.warn({ err: error }, `users of etcd stay as they are: ${describeError(error)}`)
    }
  }
}

/** Names of the users in a users file. @throws ConfigError `mesh-users` naming the file and the entry */
export function parseUsers(path: string, content: string): readonly string[] {
  const refuse = (what: string, cause?: unknown): ConfigError =>
    new ConfigError('mesh-users', `${path}: ${what}`, { hint: 'users: [{ name: remote-PEER, role: remote }]', cause })
  let value: unknown
  try {
    value = parse(content)
  } catch (cause) {
    throw refuse('is not YAML', cause)
  }
  const users = (value as { users?: unknown } | null)?.users
  if (!Array.isArray(users)) throw refuse('has no list of users')
  return users.map((entry: unknown) => {
    const { name, role } = (entry ?? {}) as { name?: unknown; role?: unknown }
    const peer = typeof name === 'string' ? /^remote-(.+)$/.exec(name)?.[1] : undefined
    if (peer === undefined || !isClusterName(peer))
      throw refuse(`"${String(name)}" is not remote- and a cluster's name`)
    if (role !== 'remote') throw refuse(`${String(name)} has the role ${JSON.stringify(role)} instead of remote`)
    return `remote-${peer}`
  })
}
