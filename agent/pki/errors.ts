import { WeftError } from '../lib/errors.ts'

/** A key or certificate cannot be read, made, written or used. */
export class PkiError extends WeftError {}
