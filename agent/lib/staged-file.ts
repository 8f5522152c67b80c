import { randomBytes } from 'node:crypto'
import { open } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** A name beside `path` that readers pass over, for a file that is renamed to it once complete. */
export function stagedName(path: string): string {
  return join(dirname(path), `.${randomBytes(6).toString('hex')}.new`)
}

/** Writes a new file with exactly this mode, whatever the umask, and waits until it is on disk. Fails if it is there already. */
export async function writeStaged(path: string, content: string, mode: number): Promise<void> {
  const file = await open(path, 'wx', mode)
  try {
    await file.chmod(mode)
    await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
}
