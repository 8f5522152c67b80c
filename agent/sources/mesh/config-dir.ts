import type { FSWatcher } from 'node:fs'
import type { Clock } from '../../lib/clock.ts'
import type { EtcdEndpoint } from '../../lib/etcd.ts'
import type { Log } from '../../lib/log.ts'
import type { Problem } from '../../types/problem.ts'
import { createHash } from 'node:crypto'
import { watch } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describeError, hintOf } from '../../lib/errors.ts'
import { isClusterName } from '../../types/wire/keys.ts'
import { isClusterFile, parseClusterFile } from './config-file.ts'

/** Events of the file system get lost on some of them and say nothing about the target of a link, so we look now and then. */
const RESCAN_MS = 5000
/** Several events of one change are one look. */
const SETTLE_MS = 50
/** A file must be gone for this long to count as removed: editors delete and create where they should rename. */
const GONE_MS = 500

export interface ConfigDirHandler {
  /** A new cluster, or another way to a known one. */
  upsert(name: string, endpoint: EtcdEndpoint): void
  /** Its file is gone. */
  remove(name: string): void
  /** What is wrong with the file of `name` (or, for '', with the directory); empty when nothing is. */
  problems(name: string, problems: readonly Problem[]): void
}

interface Known {
  hash: string
  /** Whether a good version of the file was ever handed on. */
  used: boolean
  goneSince: number | undefined
}

/**
 * Watches a directory with one file per remote cluster; the file's name is the cluster's.
 *
 * A file that cannot be read or understood changes nothing but its problem: the last good version stays in use, and only a
 * file that is really gone removes its cluster. An unreadable directory removes nothing.
 */
export class ConfigDir {
  readonly #path: string
  readonly #own: string
  readonly #clock: Clock
  readonly #log: Log
  readonly #handler: ConfigDirHandler
  readonly #known = new Map<string, Known>()
  #watcher: FSWatcher | undefined
  #cancelTimer: () => void = () => undefined
  #scanning: Promise<void> = Promise.resolve()
  #looking = false
  #changed = false
  #stopped = false

  constructor(options: { path: string; ownCluster: string; clock: Clock; log: Log; handler: ConfigDirHandler }) {
    this.#path = options.path
    this.#own = options.ownCluster
    this.#clock = options.clock
    this.#log = options.log
    this.#handler = options.handler
  }

  /** Resolves after the first look. */
  async start(): Promise<void> {
    this.#scanning = this.#look()
    await this.#scanning
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancelTimer()
    this.#watcher?.close()
    await this.#scanning
  }

  async #look(): Promise<void> {
    this.#looking = true
    this.#changed = false
    this.#watcher ??= this.#watch()
    await this.#scan()
    this.#looking = false
    const vanishing = [...this.#known.values()].some(({ goneSince }) => goneSince !== undefined)
    this.#lookIn(this.#changed ? SETTLE_MS : vanishing ? GONE_MS : RESCAN_MS)
  }

  #lookIn(ms: number): void {
    this.#cancelTimer()
    if (this.#stopped) return
    this.#cancelTimer = this.#clock.after(ms, () => {
      this.#scanning = this.#look()
    })
  }

  #onChange(): void {
    this.#changed = true
    if (!this.#looking) this.#lookIn(SETTLE_MS)
  }

  #watch(): FSWatcher | undefined {
    try {
      const watcher = watch(this.#path, () => this.#onChange())
      watcher.on('error', () => {
        watcher.close()
        if (this.#watcher === watcher) this.#watcher = undefined
      })
      return watcher
    } catch (error) {
      this.#log.debug({ err: error }, 'configuration directory cannot be watched yet')
      return undefined
    }
  }

  async #scan(): Promise<void> {
    let names: string[]
    try {
      names = await readdir(this.#path)
      this.#handler.problems('', [])
    } catch (error) {
      this.#watcher?.close()
      this.#watcher = undefined
      this.#handler.problems('', [
        {
          code: 'mesh-config-dir',
          message: `cannot read the directory of remote clusters: ${describeError(error)}`,
          hint: `create ${this.#path}; clusters that are connected stay connected until then`,
        },
      ])
      return
    }
    const present = new Set(names)
    for (const name of names) if (name !== this.#own && !name.startsWith('.')) await this.#read(name)
    for (const [name, known] of this.#known) if (!present.has(name)) this.#gone(name, known)
  }

  async #read(name: string): Promise<void> {
    const path = join(this.#path, name)
    const known = this.#known.get(name)
    let content: string
    try {
      if (!(await stat(path)).isFile()) return
      content = await readFile(path, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return known && this.#gone(name, known)
      return this.#refuse(name, error)
    }
    if (known !== undefined) known.goneSince = undefined
    const hash = createHash('sha256').update(content).digest('hex')
    if (known?.hash === hash) return
    if (known === undefined && !isClusterFile(content)) return
    const entry = known ?? { hash, used: false, goneSince: undefined }
    entry.hash = hash
    this.#known.set(name, entry)
    try {
      const endpoint = parseClusterFile(path, content)
      if (!isClusterName(name)) {
        throw new Error(`${path}: "${name}" is not a cluster name (1-32 of a-z, 0-9 and -, not at either end)`)
      }
      entry.used = true
      this.#handler.problems(name, [])
      this.#handler.upsert(name, endpoint)
    } catch (error) {
      this.#refuse(name, error)
    }
  }

  #refuse(name: string, error: unknown): void {
    const message = describeError(error)
    const used = this.#known.get(name)?.used === true
    this.#log.warn({ file: name, err: error }, `cluster configuration refused: ${message}`)
    this.#handler.problems(name, [
      {
        code: 'mesh-config-refused',
        message: used ? `${message}; the last good version stays in use` : message,
        hint: hintOf(error) ?? 'correct the file, or remove it',
      },
    ])
  }

  #gone(name: string, known: Known): void {
    const now = this.#clock.now()
    known.goneSince ??= now
    if (now - known.goneSince < GONE_MS * 0.9) return
    this.#known.delete(name)
    this.#handler.problems(name, [])
    if (known.used) this.#handler.remove(name)
  }
}
