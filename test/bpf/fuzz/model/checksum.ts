/** Sum of big-endian 16-bit words, folded (RFC 1071); an odd last byte is followed by a zero. */
export function sum(bytes: Buffer, start = 0): number {
  let total = start
  const even = bytes.length & ~1
  for (let i = 0; i < even; i += 2) total += (bytes[i]! << 8) | bytes[i + 1]!
  if (even < bytes.length) total += bytes[even]! << 8
  return fold(total)
}

export function fold(total: number): number {
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16)
  return total
}

/** A checksum field after the words it covers changed from `before` to `after` (RFC 1624). A wrong one stays as wrong. */
export function updated(field: number, before: Buffer, after: Buffer): number {
  let total = (~field & 0xffff) + 0xffff
  for (let i = 0; i + 1 < before.length; i += 2) {
    const [old, now] = [before.readUInt16BE(i), after.readUInt16BE(i)]
    if (old !== now) total = fold(total + now + (~old & 0xffff))
  }
  return ~fold(total) & 0xffff
}

/** Addresses, protocol and length as TCP and UDP sum them up. */
export function pseudoHeader(ip: Buffer, protocol: number, length: number): Buffer {
  const pseudo = Buffer.alloc(12)
  ip.copy(pseudo, 0, 12, 20)
  pseudo[9] = protocol
  pseudo.writeUInt16BE(length & 0xffff, 10)
  return pseudo
}
