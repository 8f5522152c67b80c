import { BpfError, Errno } from './errors.ts'
import { Mem, native } from './libbpf.ts'

/** Index of a network device, in the network namespace of the calling thread. BPF_ENODEV when there is none of that name. */
export function ifIndex(name: string): number {
  const index = native().ifNameToIndex.int(Mem.string(name).address)
  if (index === 0) throw new BpfError({ fn: 'if_nametoindex', errno: native().errno() || Errno.ENODEV, subject: name })
  return index
}

/** Name of a network device, in the network namespace of the calling thread; undefined when there is none. */
export function ifName(index: number): string | undefined {
  const room = new Mem(16)
  if (native().ifIndexToName.pointer(index, room.address) === 0) return undefined
  return room.bytes.toString('utf8', 0, room.bytes.indexOf(0))
}
