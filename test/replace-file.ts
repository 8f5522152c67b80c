import { rename, writeFile } from 'node:fs/promises'
import path from 'node:path'

/** Writes a file as an operator should: whoever reads the directory sees the old one or the new one, never half of it. */
export async function replaceFile(directory: string, name: string, content: string): Promise<void> {
  const staged = path.join(directory, `.${name}.new`)
  await writeFile(staged, content)
  await rename(staged, path.join(directory, name))
}
