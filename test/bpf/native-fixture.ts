import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { BpfError } from '../../native/index.ts'

const here = dirname(fileURLToPath(import.meta.url))

/** A temporary directory with the compiled fixture and a bpffs of its own; `close` removes both. */
export type Fixture = { dir: string; object: string; bpffs: string; close(): void }

/** Compile test/bpf/fixtures/native.bpf.c and mount a bpffs. Needs root, clang-19 and libbpf's headers. */
export function makeFixture(): Fixture {
  sweep()
  const dir = mkdtempSync(join(tmpdir(), `weft-native-${process.pid}-`))
  const object = join(dir, 'native.bpf.o')
  const bpffs = join(dir, 'bpffs')
  const flags = ['-target', 'bpf', '-mcpu=v3', '-O2', '-g', `-ffile-prefix-map=${here}=.`]
  const include = `/usr/include/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`
  execFileSync('clang-19', [...flags, '-I', include, '-c', join(here, 'fixtures/native.bpf.c'), '-o', object])
  execFileSync('llvm-strip-19', ['-g', object])
  mkdirSync(bpffs)
  execFileSync('mount', ['-t', 'bpf', 'bpf', bpffs])
  return {
    dir,
    object,
    bpffs,
    close() {
      execFileSync('umount', [bpffs])
      rmdirSync(bpffs)
      rmSync(dir, { recursive: true })
    },
  }
}

/** Remove what a killed run left behind. */
function sweep(): void {
  for (const entry of readdirSync(tmpdir())) {
    const pid = /^weft-native-(\d+)-/.exec(entry)?.[1]
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue
    const dir = join(tmpdir(), entry)
    spawnSync('umount', [join(dir, 'bpffs')])
    rmSync(dir, { recursive: true })
  }
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
