import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A temporary directory, and in it a bpffs of its own at `root`; `close` removes both. What a killed run left goes with the next. */
export interface Bpffs {
  readonly directory: string
  readonly root: string
  close(): void
}

const PREFIX = 'weft-bpffs-'

export function mountBpffs(): Bpffs {
  sweep()
  const directory = mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`))
  const root = join(directory, 'bpffs')
  mkdirSync(root)
  execFileSync('mount', ['-t', 'bpf', 'bpf', root])
  return {
    directory,
    root,
    close() {
      execFileSync('umount', [root])
      rmdirSync(root)
      rmSync(directory, { recursive: true })
    },
  }
}

function sweep(): void {
  for (const entry of readdirSync(tmpdir())) {
    const pid = entry.startsWith(PREFIX) ? entry.slice(PREFIX.length).split('-')[0] : undefined
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue
    const directory = join(tmpdir(), entry)
    spawnSync('umount', [join(directory, 'bpffs')])
    rmSync(directory, { recursive: true })
  }
}
