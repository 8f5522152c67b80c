import { WeftError } from '../lib/errors.ts'

/** The command line cannot be understood: exit status 2. */
export class UsageError extends WeftError {
  constructor(message: string, hint?: string) {
    super('usage', message, { hint })
  }
}

/** The command was understood and could not do its work: exit status 1. */
export class CommandError extends WeftError {}
