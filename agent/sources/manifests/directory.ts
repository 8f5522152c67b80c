import type { FSWatcher } from 'node:fs'
import { watch } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'

const MANIFEST = /^[^.].*\.(ya?ml|json)$/

/** The manifests of a directory as they are now. */
export interface Listing {
  readonly files: readonly { readonly name: string; readonly text: string }[]
  /** Files that are there and could not be read, with what the system said. */
  readonly unreadable: readonly { readonly name: string; readonly error: Error }[]
}

/**
 * Reads `*.yaml`, `*.yml` and `*.json` of a directory, following links; names with a leading dot, other files and
 * subdirectories do not count. Rejects when the directory itself cannot be read.
 */
export async function readManifests(directory: string): Promise<Listing> {
  const files: { name: string; text: string }[] = []
  const unreadable: { name: string; error: Error }[] = []
  const entries = await readdir(directory, { withFileTypes: true })
  const names = entries.filter((entry) => MANIFEST.test(entry.name) && !entry.isDirectory())
  for (const entry of names.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    try {
      const path = join(directory, entry.name)
      if (entry.isSymbolicLink() && (await stat(path)).isDirectory()) continue
      files.push({ name: entry.name, text: await readFile(path, 'utf8') })
    } catch (error) {
      const gone = (error as NodeJS.ErrnoException).code === 'ENOENT' && !entry.isSymbolicLink()
      if (!gone) unreadable.push({ name: entry.name, error: error as Error })
    }
  }
  return { files, unreadable }
}

/**
 * Says when something in a directory may have changed. The parent is watched as well, since the directory may itself be
 * a link that is swapped, or be removed and made anew; `follow` moves the watch to whatever stands there now.
 */
export class DirectoryWatch {
  readonly #directory: string
  readonly #onChange: () => void
  #inner: FSWatcher | undefined
  #outer: FSWatcher | undefined
  #watched = ''

  constructor(directory: string, onChange: () => void) {
    this.#directory = resolve(directory)
    this.#onChange = onChange
    const name = basename(this.#directory)
    this.#outer = this.#open(dirname(this.#directory), (changed) => changed === null || changed === name)
  }

  /** Call before reading: what changes after this call is reported. */
  async follow(): Promise<void> {
    let identity = ''
    try {
      const { dev, ino, birthtimeNs } = await stat(this.#directory, { bigint: true })
      identity = `${dev}:${ino}:${birthtimeNs}`
    } catch {
      // Not there now; reading the directory says so to the user.
    }
    if (identity === this.#watched && this.#inner !== undefined) return
    this.#inner?.close()
    this.#inner = identity === '' ? undefined : this.#open(this.#directory, () => true)
    this.#watched = identity
  }

  close(): void {
    this.#inner?.close()
    this.#outer?.close()
    this.#inner = this.#outer = undefined
  }

  /** Undefined where the system gives no watch (no inotify instances left): the regular rescan has to do. */
  #open(path: string, relevant: (name: string | null) => boolean): FSWatcher | undefined {
    try {
      const watcher = watch(path, { persistent: false }, (_event, name) => {
        if (relevant(name)) this.#onChange()
      })
      watcher.on('error', () => {
        watcher.close()
        if (this.#inner === watcher) this.#inner = undefined
        this.#onChange()
      })
      return watcher
    } catch {
      return undefined
    }
  }
}
