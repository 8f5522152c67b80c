import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import type { TestProject } from 'vitest/node'

/** Cilium releases whose programs are on the other side; folders of test/peers. */
export const PEERS = ['cilium-1.17', 'cilium-1.18'] as const
export type Peer = (typeof PEERS)[number]

declare module 'vitest' {
  export interface ProvidedContext {
    /** Where each peer's programs are, or why there are none. */
    peers: Readonly<Record<Peer, { readonly directory: string } | { readonly skip: string }>>
  }
}

/** Builds the peers before any test runs: the first time takes minutes, and no test should have to wait for that. */
export default async function buildPeers(project: TestProject): Promise<void> {
  const build = resolve(import.meta.dirname, '../peers/build.sh')
  // One after the other: two cold builds at once would both compile the standard library.
  const { stdout, stderr } = await promisify(execFile)(build, [...PEERS])
  process.stderr.write(stderr.replace(/^go: downloading .*\n/gm, ''))
  const lines = stdout.trim().split('\n')
  const skip = lines.find((line) => line.startsWith('skip: '))?.slice('skip: '.length)
  if (skip !== undefined) process.stderr.write(`interop with ${PEERS.join(' and ')} is skipped: ${skip}\n`)
  const peers = PEERS.map((peer, index) => [peer, skip === undefined ? { directory: lines[index]! } : { skip }])
  project.provide('peers', Object.fromEntries(peers) as Record<Peer, { directory: string } | { skip: string }>)
}
