import { readdir } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '../../lib/clock.ts'
import { ConfigError, describeError } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import { LOCAL_SOURCE } from '../../state/sync.ts'
import type { Writer } from '../../state/writer.ts'
import type { Problem } from '../../types/problem.ts'
import { applyRows } from './apply.ts'
import type { Listing } from './directory.ts'
import { DirectoryWatch, readManifests } from './directory.ts'
import type { Holdings, Rows } from './merge.ts'
import { emptyRows, mergeFiles, rowsOf } from './merge.ts'
import type { ParsedFile } from './parse.ts'
import { ManifestParser } from './parse.ts'

/** Quiet time after an event before reading: writers get to finish. */
const SETTLE_MS = 30
/** However busy the directory is, it is read this often. */
const SETTLE_MAX_MS = 300
/** Reads without an event, for what no watch reports: links to files elsewhere, network file systems. */
const RESCAN_MS = 5_000
/**
 * How long a fault found at start delays `synced`. After `synced`, what is in the kernel and not in the tables is removed:
 * a file that happened to be half written at that moment must not cost its services.
 */
const FAULTY_START_MS = 2_000

const DIRECTORY_ORIGIN = 'manifests'

export interface ManifestSourceOptions {
  readonly directory: string
  /** Name of the own cluster. */
  readonly cluster: string
  readonly writer: Writer
  readonly clock: Clock
  readonly log: Log
  /** Ends the source as `stop` does. */
  readonly signal?: AbortSignal
}

export interface ManifestSource {
  /** Resolves when the first reading is in the tables; rejects with ConfigError when there is no directory to read. */
  start(): Promise<void>
  /** Ends watching; the rows stay. Resolves when nothing is running any more. Doing it twice is fine. */
  stop(): Promise<void>
}

/**
 * Keeps the tables equal to a directory of Kubernetes manifests, from `start` on. Reading begins at once, for those who have
 * something else to wait for before they start it.
 */
export function openManifestSource(options: ManifestSourceOptions): ManifestSource {
  return new Source(options)
}

/** Opens and starts. */
export async function startManifestSource(options: ManifestSourceOptions): Promise<ManifestSource> {
  const source = openManifestSource(options)
  await source.start()
  return source
}

/** @throws ConfigError as `startManifestSource`; for those who have something else to do before they start it */
export async function requireManifestDirectory(directory: string): Promise<void> {
  try {
    await readdir(directory)
  } catch (error) {
    throw notADirectory(directory, error)
  }
}

function notADirectory(directory: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'EACCES') return error
  const why = { ENOENT: 'does not exist', ENOTDIR: 'is not a directory', EACCES: 'may not be read' }[code]
  return new ConfigError('manifests-directory', `the directory of manifests ${directory} ${why}`, {
    hint: `Make it (mkdir -p ${directory}; it may be empty) or name another one with --manifests.`,
    cause: error,
  })
}

/** What a directory says, not in the tables yet. */
interface Reading {
  readonly listing: Listing
  readonly parsed: readonly ParsedFile[]
}

class Source implements ManifestSource {
  readonly #options: ManifestSourceOptions
  readonly #parser: ManifestParser
  readonly #watch: DirectoryWatch
  /** Until `start` takes it. */
  #first: Promise<Reading> | undefined
  #parsed: readonly ParsedFile[] = []
  #holdings: Holdings = new Map()
  #rows: Rows = emptyRows()
  #problems = new Map<string, readonly Problem[]>()
  /** Files of the last reading. A file is taken for deleted when two readings in a row miss it. */
  #present = new Set<string>()
  #missedOnce = new Set<string>()
  #synced = false
  #stopped = false
  /** One reading at a time: the one under way, and whether another has to follow. */
  #running: Promise<unknown> | undefined
  #again = false
  #cancelSettle: (() => void) | undefined
  #cancelRescan: (() => void) | undefined
  #cancelSync: (() => void) | undefined
  readonly #onAbort = (): void => void this.stop()
  /** When the first event came that no reading has covered yet. */
  #pendingSince: number | undefined

  constructor(options: ManifestSourceOptions) {
    this.#options = options
    this.#parser = new ManifestParser(options.cluster)
    this.#watch = new DirectoryWatch(options.directory, () => this.#changed())
    this.#first = this.#read()
    // Until `start` asks for it, nobody is told how it went.
    this.#running = this.#first.catch(() => undefined)
  }

  async start(): Promise<void> {
    const { signal, clock } = this.#options
    signal?.throwIfAborted()
    signal?.addEventListener('abort', this.#onAbort, { once: true })
    let failure: unknown
    const first = this.#first ?? this.#read()
    this.#first = undefined
    this.#running = first
      .then((reading) => (this.#hasChanged ? this.#read() : reading))
      .then((reading) => this.#take(reading))
      .catch((error: unknown) => (failure = error))
    await this.#running
    if (failure !== undefined) {
      await this.stop()
      throw notADirectory(this.#options.directory, failure)
    }
    if (!this.#synced && !this.#stopped) this.#cancelSync = clock.after(FAULTY_START_MS, () => this.#openGate())
    this.#finished()
  }

  async #read(): Promise<Reading> {
    await this.#watch.follow()
    const listing = await readManifests(this.#options.directory)
    const parsed: ParsedFile[] = []
    for (const { name, text } of listing.files) {
      parsed.push(await this.#parser.parse(name, text, () => setImmediate()))
    }
    return { listing, parsed }
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    this.#watch.close()
    this.#cancelSettle?.()
    this.#cancelRescan?.()
    this.#cancelSync?.()
    await this.#running
  }

  /** An event came that no reading has covered yet. */
  get #hasChanged(): boolean {
    return this.#again || this.#pendingSince !== undefined
  }

  #changed(): void {
    if (this.#stopped) return
    const { clock } = this.#options
    this.#cancelSettle?.()
    this.#pendingSince ??= clock.now()
    const wait = Math.max(0, Math.min(SETTLE_MS, this.#pendingSince + SETTLE_MAX_MS - clock.now()))
    this.#cancelSettle = clock.after(wait, () => this.#rescan())
  }

  #rescan(): void {
    if (this.#stopped) return
    this.#pendingSince = undefined
    if (this.#running !== undefined) {
      this.#again = true
      return
    }
    this.#running = this.#read()
      .then((reading) => this.#take(reading))
      .catch((error: unknown) => this.#report(DIRECTORY_ORIGIN, [this.#cannotRead(error)]))
      .then(() => this.#finished())
  }

  #finished(): void {
    this.#running = undefined
    if (this.#stopped) return
    this.#cancelRescan?.()
    this.#cancelRescan = this.#options.clock.after(RESCAN_MS, () => this.#rescan())
    if (this.#again) this.#changed()
    this.#again = false
  }

  #take({ listing, parsed }: Reading): void {
    if (this.#stopped) return
    this.#report(DIRECTORY_ORIGIN, [])
    if (this.#synced && this.#isAsBefore(listing, parsed)) return

    const present = new Set([...listing.files, ...listing.unreadable].map((file) => file.name))
    const missed = [...this.#present].filter((name) => !present.has(name))
    const withheld = new Set([...missed, ...listing.unreadable.map((file) => file.name)])
    for (const name of this.#missedOnce) if (!present.has(name)) this.#forget(name)
    this.#missedOnce = new Set(missed)
    this.#present = present

    const merged = mergeFiles(parsed, withheld, this.#holdings)
    const rows = rowsOf(merged.holdings, this.#options.cluster)
    applyRows(this.#options.writer, this.#rows, rows)
    this.#parsed = parsed
    this.#holdings = merged.holdings
    this.#rows = rows

    for (const [name, problems] of merged.problems) this.#report(originOf(name), problems)
    for (const { name, error } of listing.unreadable) this.#report(originOf(name), [unreadable(name, error)])
    if (missed.length > 0) this.#changed()
    if (listing.unreadable.length === 0 && !parsed.some((file) => file.faulty)) this.#openGate()
  }

  /** What is read every few seconds is nearly always what was read before. */
  #isAsBefore({ unreadable }: Listing, parsed: readonly ParsedFile[]): boolean {
    const { length } = this.#parsed
    // Every file of the last reading was there: none has been missed once.
    const isWhole = unreadable.length === 0 && parsed.length === length && this.#present.size === length
    return isWhole && this.#missedOnce.size === 0 && parsed.every((file, n) => file === this.#parsed[n])
  }

  #forget(name: string): void {
    this.#parser.forget(name)
    this.#report(originOf(name), [])
  }

  #openGate(): void {
    if (this.#synced || this.#stopped) return
    this.#synced = true
    this.#cancelSync?.()
    this.#options.writer.synced(LOCAL_SOURCE)
  }

  /** Problems go to the tables for `status`, and once to the log. */
  #report(origin: string, problems: readonly Problem[]): void {
    const before = this.#problems.get(origin) ?? []
    if (isDeepStrictEqual(before, problems)) return
    for (const problem of problems) {
      if (!before.some((known) => isDeepStrictEqual(known, problem))) this.#options.log.warn(problem, problem.message)
    }
    if (problems.length === 0) this.#problems.delete(origin)
    else this.#problems.set(origin, problems)
    this.#options.writer.setProblems(origin, problems)
  }

  #cannotRead(error: unknown): Problem {
    return {
      code: 'manifests-directory-gone',
      message: `the manifests cannot be read: ${describeError(error)}; everything read before stays in use`,
      hint: `Put ${this.#options.directory} back. To remove all objects, leave the directory in place and empty.`,
    }
  }
}

function originOf(file: string): string {
  return `manifests/${file}`
}

function unreadable(name: string, error: Error): Problem {
  return {
    code: 'manifest-unreadable',
    message: `${name} cannot be read: ${describeError(error)}; what was read from it before stays in use`,
    hint: 'Make it readable, or delete it to remove its objects.',
  }
}
