import { WeftError } from '../lib/errors.ts'

/** A join file, or the directory clusters are joined in, cannot be used. */
export class JoinError extends WeftError {}
