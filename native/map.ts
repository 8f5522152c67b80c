import { type BatchMap, batchUnsupported, deleteBatch, lookupBatches, updateBatch } from './batch.ts'
import { MapFlag, MapType, Update } from './constants.ts'
import { BpfError, Errno } from './errors.ts'
import { cString, FdOwner, objectInfo, openPin } from './fd.ts'
import { Mem } from './foreign.ts'
import { native } from './libbpf.ts'
import { MappedArray } from './mapped.ts'

const MAP_INFO_SIZE = 88
const CREATE_OPTS_SIZE = 48

/** Shape of a map to create. Sizes in bytes; `flags` from {@link MapFlag}. */
export type MapSpec = {
  type: number
  /** At most 15 bytes are kept by the kernel. */
  name: string
  keySize: number
  valueSize: number
  maxEntries: number
  flags?: number
}

/** What the kernel says of a map. */
export type MapInfo = {
  type: number
  id: number
  keySize: number
  valueSize: number
  maxEntries: number
  flags: number
  name: string
}

/** All entries of a map, back to back: `count` keys and `count` values. */
export type MapDump = { keys: Buffer; values: Buffer; count: number }

let cpus: number | undefined

/** Number of possible cpus: how many slots a per-cpu value has. */
export function possibleCpus(): number {
  if (cpus === undefined) {
    const rc = native().possibleCpus.int()
    if (rc <= 0) throw new BpfError({ fn: 'libbpf_num_possible_cpus', errno: -rc })
    cpus = rc
  }
  return cpus
}

function isPerCpu(type: number): boolean {
  return type === MapType.PERCPU_HASH || type === MapType.PERCPU_ARRAY || type === MapType.LRU_PERCPU_HASH
}

/** Owner of one map fd. Keys and values are raw bytes as C lays them out; a per-cpu value is `possibleCpus()` slots, each rounded up to 8 bytes. */
export class BpfMap extends FdOwner {
  /** The name it was created or asked for with; the kernel keeps 15 bytes of it. */
  readonly name: string
  /** One of {@link MapType}. */
  readonly type: number
  readonly keySize: number
  /** Bytes of one value as the map declares it. */
  readonly valueSize: number
  /** Bytes of one value in {@link lookup}, {@link update}, batches and dumps: larger than `valueSize` for per-cpu maps. */
  readonly valueStride: number
  readonly maxEntries: number
  readonly flags: number
  private readonly key: Mem
  private readonly value: Mem

  private constructor(fd: number, info: MapInfo, name?: string) {
    super(fd, name ?? info.name)
    this.name = this.subject
    this.type = info.type
    this.keySize = info.keySize
    this.valueSize = info.valueSize
    this.maxEntries = info.maxEntries
    this.flags = info.flags
    this.valueStride = isPerCpu(info.type) ? Math.ceil(info.valueSize / 8) * 8 * possibleCpus() : info.valueSize
    this.key = new Mem(Math.max(this.keySize, 8))
    this.value = new Mem(Math.max(this.valueStride, 8))
  }

  /** BPF_MAP_CREATE. The map lives as long as this fd, a pin, or a program that uses it. */
  static create(spec: MapSpec): BpfMap {
    const opts = new Mem(CREATE_OPTS_SIZE)
    opts.bytes.writeBigUInt64LE(BigInt(CREATE_OPTS_SIZE), 0)
    opts.bytes.writeUInt32LE(spec.flags ?? 0, 28)
    const fd = native().mapCreate.int(
      spec.type,
      Mem.string(spec.name.slice(0, 15)).address,
      spec.keySize,
      spec.valueSize,
      spec.maxEntries,
      opts.address,
    )
    if (fd < 0) throw new BpfError({ fn: 'bpf_map_create', errno: -fd, subject: spec.name })
    return BpfMap.fromFd(fd, spec.name)
  }

  /** Open the map pinned at `path`. BPF_ENOENT when nothing is there. */
  static openPinned(path: string): BpfMap {
    return BpfMap.fromFd(openPin(path, 'map'), undefined, path)
  }

  /** Open a map by kernel id (from program info, or from a map-in-map lookup). */
  static openById(id: number): BpfMap {
    const fd = native().mapFdById.int(id)
    if (fd < 0) throw new BpfError({ fn: 'bpf_map_get_fd_by_id', errno: -fd, subject: `map id ${id}` })
    return BpfMap.fromFd(fd)
  }

  /** Take over an open map descriptor: this object closes it, also when this call throws. */
  static fromFd(fd: number, name?: string, from = `fd ${fd}`): BpfMap {
    const holder = new RawFd(fd, name ?? from)
    try {
      return new BpfMap(fd, readInfo(fd, name ?? from), name)
    } catch (error) {
      holder.close()
      throw error
    }
  }

  /** Ask the kernel again: type, id, sizes, flags, name (cut to 15 bytes). */
  info(): MapInfo {
    return readInfo(this.fd, this.subject)
  }

  /** A copy of the value, or undefined when the key is not there. */
  lookup(key: Uint8Array): Buffer | undefined {
    this.putKey(key)
    const rc = native().mapLookup.int(this.fd, this.key.address, this.value.address)
    if (rc === -Errno.ENOENT) return undefined
    if (rc < 0) throw new BpfError({ fn: 'bpf_map_lookup_elem', errno: -rc, subject: this.subject })
    return Buffer.from(this.value.bytes.subarray(0, this.valueStride))
  }

  /** Write one element. Throws BPF_EEXIST / BPF_ENOENT for {@link Update}.NOEXIST / EXIST, BPF_E2BIG when the map is full. */
  update(key: Uint8Array, value: Uint8Array, flags: number = Update.ANY): void {
    const rc = this.updateOne(key, value, flags)
    if (rc < 0) throw new BpfError({ fn: 'bpf_map_update_elem', errno: -rc, subject: this.subject })
  }

  /** Remove one element; false when it was not there. */
  delete(key: Uint8Array): boolean {
    this.putKey(key)
    const rc = native().mapDelete.int(this.fd, this.key.address)
    if (rc === -Errno.ENOENT) return false
    if (rc < 0) throw new BpfError({ fn: 'bpf_map_delete_elem', errno: -rc, subject: this.subject })
    return true
  }

  /** The key after `key` in the map's own order (undefined: the first); undefined at the end. A key that is gone starts again from the first. */
  nextKey(key?: Uint8Array): Buffer | undefined {
    if (key !== undefined) this.putKey(key)
    const rc = native().mapNextKey.int(this.fd, key === undefined ? 0 : this.key.address, this.value2().address)
    if (rc === -Errno.ENOENT) return undefined
    if (rc < 0) throw new BpfError({ fn: 'bpf_map_get_next_key', errno: -rc, subject: this.subject })
    return Buffer.from(this.value2().bytes.subarray(0, this.keySize))
  }

  /**
   * Write `count` elements, keys and values back to back, in kernel batches of at most 8192. Map types or kernels without
   * batches, and flags NOEXIST/EXIST (which the batch command refuses), go one by one. Stops at the first failure:
   * the error's `done` says how many were written before it.
   */
  updateBatch(keys: Buffer, values: Buffer, count: number, flags: number = Update.ANY): void {
    this.checkRoom('updateBatch', keys, this.keySize, count)
    this.checkRoom('updateBatch', values, this.valueStride, count)
    let done = 0
    if (flags === Update.ANY) {
      const outcome = updateBatch(this.batch(), keys, values, 0, count)
      if (outcome.errno === 0) return
      done = outcome.done
      if (!batchUnsupported(outcome.errno, done)) {
        throw new BpfError({ fn: 'bpf_map_update_batch', errno: outcome.errno, subject: this.subject, done })
      }
    }
    for (; done < count; done++) {
      const rc = this.updateOne(element(keys, this.keySize, done), element(values, this.valueStride, done), flags)
      if (rc < 0) throw new BpfError({ fn: 'bpf_map_update_elem', errno: -rc, subject: this.subject, done })
    }
  }

  /** Delete `count` keys; keys that are not there are skipped. Returns how many were there. The error's `done` counts keys handled, missing ones included. */
  deleteBatch(keys: Buffer, count: number): number {
    this.checkRoom('deleteBatch', keys, this.keySize, count)
    let done = 0
    let deleted = 0
    while (done < count) {
      const outcome = deleteBatch(this.batch(), keys, done, count - done)
      done += outcome.done
      deleted += outcome.done
      if (outcome.errno === 0) continue
      if (outcome.errno === Errno.ENOENT) done++
      else if (batchUnsupported(outcome.errno, outcome.done)) return deleted + this.deleteEach(keys, done, count)
      else throw new BpfError({ fn: 'bpf_map_delete_batch', errno: outcome.errno, subject: this.subject, done })
    }
    return deleted
  }

  /** Every entry, as copies. Elements changed meanwhile may or may not appear; no key that stays is missed. */
  *entries(): Generator<[Buffer, Buffer]> {
    const { keys, values, count } = this.dump()
    for (let i = 0; i < count; i++) yield [element(keys, this.keySize, i), element(values, this.valueStride, i)]
  }

  /** Every entry in two Buffers, read in batches of at most 8192, or key by key where the map has no batches. */
  dump(): MapDump {
    const keys: Buffer[] = []
    const values: Buffer[] = []
    let count = 0
    try {
      for (const piece of lookupBatches(this.batch())) {
        keys.push(Buffer.from(piece.keys))
        values.push(Buffer.from(piece.values))
        count += piece.count
      }
    } catch (error) {
      // EINTR: kernels before 6.7 give up a batch when elements vanish under it.
      const retry = error instanceof BpfError && (batchUnsupported(error.errno, count) || error.errno === Errno.EINTR)
      if (!retry) throw error
      return this.dumpByKey()
    }
    return { keys: Buffer.concat(keys), values: Buffer.concat(values), count }
  }

  /**
   * Every entry in pieces of about `most`, each read when it is asked for: between two of them the map may be changed. What
   * is added or moved meanwhile may or may not appear, and, in a trie, a deleted entry may begin the walk anew: an entry
   * can appear twice, and one that is there all the time is missed only when the walk was begun anew too often.
   */
  *pieces(most: number): Generator<MapDump> {
    let count = 0
    try {
      for (const piece of lookupBatches(this.batch(), most)) {
        count += piece.count
        yield { ...piece, keys: Buffer.from(piece.keys), values: Buffer.from(piece.values) }
        if (count > 2 * this.maxEntries) return
      }
    } catch (error) {
      if (!(error instanceof BpfError) || !batchUnsupported(error.errno, count)) throw error
      yield this.dumpByKey()
    }
  }

  /**
   * Map the value area of an ARRAY made with {@link MapFlag}.MMAPABLE (Linux 5.5) into this process, or its first `reach`
   * elements. Stores are seen by programs at once. The mapping keeps the map alive by itself; close it separately.
   */
  mmap(reach = this.maxEntries): MappedArray {
    if (this.type !== MapType.ARRAY || (this.flags & MapFlag.MMAPABLE) === 0) {
      throw new BpfError({
        fn: 'mmap',
        code: 'BPF_ARGUMENT',
        subject: this.subject,
        reason: 'only an ARRAY created with BPF_F_MMAPABLE can be mapped',
      })
    }
    return MappedArray.map(this.fd, this.subject, this.valueSize, this.maxEntries, reach)
  }

  private next: Mem | undefined

  private value2(): Mem {
    return (this.next ??= new Mem(Math.max(this.keySize, 8)))
  }

  private batch(): BatchMap {
    return {
      fd: this.fd,
      subject: this.subject,
      keySize: this.keySize,
      valueSize: this.valueStride,
      maxEntries: this.maxEntries,
    }
  }

  private putKey(key: Uint8Array): void {
    if (key.length !== this.keySize) throw this.wrongSize('key', key.length, this.keySize)
    this.key.bytes.set(key)
  }

  private updateOne(key: Uint8Array, value: Uint8Array, flags: number): number {
    if (value.length !== this.valueStride) throw this.wrongSize('value', value.length, this.valueStride)
    this.putKey(key)
    this.value.bytes.set(value)
    return native().mapUpdate.int(this.fd, this.key.address, this.value.address, flags)
  }

  private deleteEach(keys: Buffer, from: number, count: number): number {
    let deleted = 0
    for (let i = from; i < count; i++) if (this.delete(element(keys, this.keySize, i))) deleted++
    return deleted
  }

  private dumpByKey(): MapDump {
    const keys: Buffer[] = []
    const values: Buffer[] = []
    // A key deleted under the walk restarts it: the set keeps entries unique, and ends the walk.
    const seen = new Set<string>()
    for (let key = this.nextKey(); key !== undefined; key = this.nextKey(key)) {
      const id = key.toString('latin1')
      if (seen.has(id) && seen.size >= this.maxEntries) break
      const value = seen.has(id) ? undefined : this.lookup(key)
      seen.add(id)
      if (value === undefined) continue
      keys.push(key)
      values.push(value)
    }
    return { keys: Buffer.concat(keys), values: Buffer.concat(values), count: keys.length }
  }

  private checkRoom(fn: string, buffer: Buffer, size: number, count: number): void {
    if (!Number.isInteger(count) || count < 0 || buffer.length < size * count) {
      throw new BpfError({
        fn,
        code: 'BPF_ARGUMENT',
        subject: this.subject,
        reason: `${count} entries of ${size} bytes do not fit in ${buffer.length}`,
      })
    }
  }

  private wrongSize(what: string, got: number, want: number): BpfError {
    return new BpfError({
      fn: 'BpfMap',
      code: 'BPF_ARGUMENT',
      subject: this.subject,
      reason: `${what} has ${got} bytes, the map wants ${want}`,
    })
  }
}

/** Holds an fd only to close it when its real owner cannot be built. */
class RawFd extends FdOwner {
  constructor(fd: number, subject: string) {
    super(fd, subject)
  }
}

function element(buffer: Buffer, size: number, index: number): Buffer {
  return buffer.subarray(index * size, (index + 1) * size)
}

function readInfo(fd: number, subject: string): MapInfo {
  const raw = objectInfo(fd, MAP_INFO_SIZE, subject)
  return {
    type: raw.readUInt32LE(0),
    id: raw.readUInt32LE(4),
    keySize: raw.readUInt32LE(8),
    valueSize: raw.readUInt32LE(12),
    maxEntries: raw.readUInt32LE(16),
    flags: raw.readUInt32LE(20),
    name: cString(raw, 24, 16),
  }
}
