import { BpfError, Errno } from './errors.ts'
import { type Call, Mem } from './foreign.ts'
import { native } from './libbpf.ts'

/** Entries per system call: 100k in one call block the event loop for 40 ms, 8k for about 3. */
export const BATCH_ENTRIES = 8192
const BATCH_BYTES = 4 << 20

/** The part of a map that batch calls need. `valueSize` is the size user space sees (per-cpu values: all cpus). */
export type BatchMap = { fd: number; subject: string; keySize: number; valueSize: number; maxEntries: number }

/** One pair of arenas for all maps: calls are synchronous, so two never overlap, and their addresses never change. */
class Scratch {
  keys = new Mem(64 << 10)
  values = new Mem(64 << 10)
  readonly count = new Mem(8)
  readonly options = new Mem(24)

  constructor() {
    this.options.bytes.writeBigUInt64LE(24n, 0)
  }

  reserve(keyBytes: number, valueBytes: number): void {
    if (this.keys.bytes.length < keyBytes) this.keys = new Mem(keyBytes)
    if (this.values.bytes.length < valueBytes) this.values = new Mem(valueBytes)
  }
}

let shared: Scratch | undefined
const scratch = (): Scratch => (shared ??= new Scratch())

function chunkOf(map: BatchMap): number {
  return Math.max(1, Math.min(BATCH_ENTRIES, Math.floor(BATCH_BYTES / Math.max(map.keySize, map.valueSize, 1))))
}

/** ENOTSUPP: the map type has no batch operation. EINVAL before the first entry: the kernel does not know the command. */
export function batchUnsupported(errno: number, done: number): boolean {
  return done === 0 && (errno === Errno.ENOTSUPP || errno === Errno.EOPNOTSUPP || errno === Errno.EINVAL)
}

export type BatchOutcome = { done: number; errno: number }

/** One kernel batch over `count` entries from `first`. Stops at the first failure: `errno` 0 means all were done. */
function runChunk(
  call: Call,
  map: BatchMap,
  keys: Buffer,
  values: Buffer | undefined,
  first: number,
  count: number,
): BatchOutcome {
  const s = scratch()
  s.reserve(count * map.keySize, values === undefined ? 0 : count * map.valueSize)
  keys.copy(s.keys.bytes, 0, first * map.keySize, (first + count) * map.keySize)
  values?.copy(s.values.bytes, 0, first * map.valueSize, (first + count) * map.valueSize)
  s.count.bytes.writeUInt32LE(count)
  const rc =
    values === undefined
      ? call.int(map.fd, s.keys.address, s.count.address, s.options.address)
      : call.int(map.fd, s.keys.address, s.values.address, s.count.address, s.options.address)
  if (rc >= 0) return { done: count, errno: 0 }
  const counted = s.count.bytes.readUInt32LE()
  // A call refused before its first entry leaves the count as it was.
  return { done: counted < count ? counted : 0, errno: -rc }
}

/** Update `count` entries from `first`; stops at the first failure. */
export function updateBatch(map: BatchMap, keys: Buffer, values: Buffer, first: number, count: number): BatchOutcome {
  const step = chunkOf(map)
  let done = 0
  while (done < count) {
    const n = Math.min(step, count - done)
    const part = runChunk(native().mapUpdateBatch, map, keys, values, first + done, n)
    done += part.done
    if (part.errno !== 0) return { done, errno: part.errno }
  }
  return { done, errno: 0 }
}

/** Delete entries from `first` on; stops at the first failure, a missing key (ENOENT) included. */
export function deleteBatch(map: BatchMap, keys: Buffer, first: number, count: number): BatchOutcome {
  const n = Math.min(chunkOf(map), count)
  return runChunk(native().mapDeleteBatch, map, keys, undefined, first, n)
}

/** One piece of a dump: Buffers that the next piece overwrites. */
export type Piece = { keys: Buffer; values: Buffer; count: number }

/**
 * All entries by BPF_MAP_LOOKUP_BATCH, `most` in a piece. The yielded Buffers are valid until the next batch call on any
 * map; other calls may come before the generator goes on. Throws BpfError; {@link batchUnsupported} tells whether another
 * way should be tried.
 */
export function* lookupBatches(map: BatchMap, most = BATCH_ENTRIES): Generator<Piece> {
  const s = scratch()
  let chunk = Math.min(chunkOf(map), Math.max(map.maxEntries, 1), most)
  let seen = false
  let flip = 0
  const tokenSize = Math.max(4, map.keySize)
  const tokens = [new Mem(tokenSize), new Mem(tokenSize)] as const
  for (;;) {
    s.reserve(chunk * map.keySize, chunk * map.valueSize)
    s.count.bytes.writeUInt32LE(chunk)
    const from = seen ? tokens[flip === 0 ? 0 : 1].address : 0
    const to = tokens[flip === 0 ? 1 : 0]
    const rc = native().mapLookupBatch.int(
      map.fd,
      from,
      to.address,
      s.keys.address,
      s.values.address,
      s.count.address,
      s.options.address,
    )
    // One hash bucket holds more than the room offered; the token has not moved.
    if (rc === -Errno.ENOSPC && chunk < 1 << 20) {
      chunk *= 2
      continue
    }
    if (rc < 0 && rc !== -Errno.ENOENT) {
      throw new BpfError({ fn: 'bpf_map_lookup_batch', errno: -rc, subject: map.subject })
    }
    const count = s.count.bytes.readUInt32LE()
    if (count > 0) {
      yield {
        keys: s.keys.bytes.subarray(0, count * map.keySize),
        values: s.values.bytes.subarray(0, count * map.valueSize),
        count,
      }
    }
    if (rc === -Errno.ENOENT) return
    seen = true
    flip ^= 1
  }
}
