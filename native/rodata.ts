import type { Variable } from './btf.ts'
import { BpfError } from './errors.ts'

/** A value for a `.rodata` variable: numbers and booleans for scalars, raw bytes (exactly the variable's size) for anything else. */
export type RodataValue = number | bigint | boolean | Uint8Array

/** Bytes of a value as the variable's C type lays it out. Throws BPF_ARGUMENT when it does not fit. */
export function encodeRodata(variable: Variable, value: RodataValue): Buffer {
  if (value instanceof Uint8Array) {
    if (value.length !== variable.size) throw misfit(variable, `${value.length} bytes`)
    return Buffer.from(value)
  }
  if (!variable.scalar) throw misfit(variable, `${typeof value} ${String(value)}: give bytes`)
  if (typeof value === 'number' && !Number.isSafeInteger(value)) throw misfit(variable, String(value))
  const wide = BigInt(value)
  const bits = 8 * variable.size
  const fits = wide === (variable.signed ? BigInt.asIntN(bits, wide) : BigInt.asUintN(bits, wide))
  if (!fits) throw misfit(variable, String(value))
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt.asUintN(64, wide))
  return bytes.subarray(0, variable.size)
}

function misfit(variable: Variable, what: string): BpfError {
  return new BpfError({
    fn: 'rodata',
    code: 'BPF_ARGUMENT',
    subject: variable.name,
    reason: `${what} does not fit ${variable.type} of ${variable.size} bytes`,
  })
}
