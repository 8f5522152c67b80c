import { readFileSync } from 'node:fs'

/**
 * The weft command in a few files: a start that reads hundreds of modules one by one takes twice as long to load. What is
 * imported where it is used stays in files of its own.
 */

/** Packages that every start needs. The others have native parts, read files of their own or are loaded by few. */
const BUNDLED = ['commander', 'pino', 'yaml', 'zod']

const { dependencies } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'))
const outside = Object.keys(dependencies).filter((name) => !BUNDLED.includes(name))

export default {
  input: 'agent/main.ts',
  platform: 'node',
  transform: { target: 'node20' },
  external: (id) => outside.some((name) => id === name || id.startsWith(`${name}/`)),
  output: { dir: 'build/weft', sourcemap: true, chunkFileNames: '[name].js' },
}
