/**
 * How a key or value lies in memory. Integers are host order except where a layout says network order; an encoder writes
 * every byte, padding included, because the kernel compares keys byte by byte. Neither direction allocates beyond the
 * decoded object. Throws RangeError when the buffer is too short or a number does not fit its field.
 */
export interface Codec<T> {
  /** Bytes. */
  readonly size: number
  encode(value: T, buffer: Buffer, offset?: number): void
  decode(buffer: Buffer, offset?: number): T
}

/** What the programs declare a map to be. */
export interface MapShape {
  readonly name: string
  /** `enum bpf_map_type`. */
  readonly type: number
  readonly keySize: number
  readonly valueSize: number
  /** Default; chosen again when the map is created. */
  readonly maxEntries: number
  readonly flags: number
}

/** A value in a buffer of its own. */
export function encoded<T>(codec: Codec<T>, value: T): Buffer {
  const buffer = Buffer.alloc(codec.size)
  codec.encode(value, buffer, 0)
  return buffer
}

/** Bytes from one element to the next in a mapped array: the kernel rounds elements up to 8. */
export function mappedStride(shape: MapShape): number {
  return Math.ceil(shape.valueSize / 8) * 8
}

/** Keys that are an index or id. */
export const u32Codec: Codec<number> = {
  size: 4,
  encode(value, buffer, offset = 0) {
    buffer.writeUInt32LE(value, offset)
  },
  decode(buffer, offset = 0) {
    return buffer.readUInt32LE(offset)
  },
}
