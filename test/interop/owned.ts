/** What a test started, ended in reverse order; one that cannot be ended does not keep the others alive. */
export class Owned {
  readonly #items: AsyncDisposable[] = []

  use<T extends AsyncDisposable>(item: T): T {
    this.#items.push(item)
    return item
  }

  async end(): Promise<void> {
    const errors: unknown[] = []
    for (const item of this.#items.splice(0).reverse()) {
      try {
        await item[Symbol.asyncDispose]()
      } catch (error) {
        errors.push(error)
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, 'not everything a test started could be ended')
  }
}
