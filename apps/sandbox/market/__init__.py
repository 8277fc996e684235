"""What the emulated venues trade: a market model behind ``protocol.Market``. Pure, no clock, no I/O."""
