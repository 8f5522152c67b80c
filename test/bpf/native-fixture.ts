import { execFileSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { BpfError, BpfMap, MapType } from '../../native/index.ts'
import { mountBpffs } from './bpffs.ts'

const here = dirname(fileURLToPath(import.meta.url))

/** A temporary directory with the compiled fixture and a bpffs of its own; `close` removes both. */
export type Fixture = { dir: string; object: string; bpffs: string; close(): void }

/** Compile test/bpf/fixtures/native.bpf.c and mount a bpffs. Needs root, clang-19 and libbpf's headers. */
export function makeFixture(): Fixture {
  const mounted = mountBpffs()
  const { directory, root: bpffs } = mounted
  const object = join(directory, 'native.bpf.o')
  const flags = ['-target', 'bpf', '-mcpu=v3', '-O2', '-g', `-ffile-prefix-map=${here}=.`]
  const include = `/usr/include/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`
  execFileSync('clang-19', [...flags, '-I', include, '-c', join(here, 'fixtures/native.bpf.c'), '-o', object])
  execFileSync('llvm-strip-19', ['-g', object])
  return { dir: directory, object, bpffs, close: () => mounted.close() }
}

/** A plain Ethernet frame of `length` bytes. */
export function frame(length = 64): Buffer {
  const packet = Buffer.alloc(length)
  packet.writeUInt16BE(0x0800, 12)
  packet[14] = 0x45
  return packet
}

/** A __sk_buff of 192 zero bytes with `mark` set. */
export function skb(mark: number): Buffer {
  const ctx = Buffer.alloc(192)
  ctx.writeUInt32LE(mark, 8)
  return ctx
}

/** The error a call throws; fails the test when it throws none. */
export function caught(run: () => unknown): BpfError {
  try {
    run()
  } catch (error) {
    if (error instanceof BpfError) return error
    throw error
  }
  throw new Error('expected a BpfError')
}

/** A number as C has it. */
export const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

/** A map from numbers to numbers. */
export const hash = (maxEntries: number, type: number = MapType.HASH): BpfMap =>
  BpfMap.create({ type, name: 'test', keySize: 4, valueSize: 4, maxEntries })
